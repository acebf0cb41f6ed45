import { mkdirSync, writeFileSync } from "node:fs";
import type { run } from "../kernel/sandbox.ts";
import type { NetworkList } from "./conflist.ts";
import { BUSYBOX_IMAGE, makeImage } from "./image.ts";
import { Machine } from "./machine.ts";

type Finished = ReturnType<typeof run>;

const TOOLS = ["podman", "conmon", "runc", "busybox", "unshare", "nsenter", "iptables-save", "timeout"];

/** Podman's configuration: everything of its own below one folder, networks from our files by plugins of our folder. */
const CONTAINERS_CONF = (work: string, plugins: string, network: string) => `[network]
network_backend = "cni"
cni_plugin_dirs = ["${plugins}"]
network_config_dir = "${work}/net.d"
default_network = "${network}"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "/run/libpod"
`;
const STORAGE_CONF = (work: string) => `[storage]
driver = "vfs"
graphroot = "${work}/storage"
runroot = "/run/containers/storage"
`;

/** Why podman's tests can't run here; null when they can. */
export function podmanFault(): string | null {
  const missing = TOOLS.filter((tool) => Bun.which(tool) === null);
  if (missing.length > 0) return `missing: ${missing.join(" ")}: run 'make packages-test'`;
  return process.getuid?.() === 0 ? null : "namespaces and mounts need root";
}

/** Podman with its CNI backend on a machine of its own. */
export class Podman {
  readonly machine = new Machine();
  readonly #env: Readonly<Record<string, string>>;

  private constructor(networks: readonly NetworkList[]) {
    const { work, plugins } = this.machine;
    mkdirSync(`${work}/net.d`);
    mkdirSync(`${work}/image`);
    for (const network of networks)
      writeFileSync(`${work}/net.d/${network.name}.conflist`, JSON.stringify(network));
    writeFileSync(`${work}/containers.conf`, CONTAINERS_CONF(work, plugins, networks[0]?.name ?? ""));
    writeFileSync(`${work}/storage.conf`, STORAGE_CONF(work));
    this.#env = {
      CONTAINERS_CONF: `${work}/containers.conf`,
      CONTAINERS_STORAGE_CONF: `${work}/storage.conf`,
      TMPDIR: work,
    };
  }

  /** Starts the machine and loads the image. Throws, with everything taken down again, when that fails. */
  static async start(networks: readonly NetworkList[]): Promise<Podman> {
    const podman = new Podman(networks);
    await podman.machine.start();
    try {
      const archive = makeImage(`${podman.machine.work}/image`);
      podman.must("load", "-q", "-i", archive);
      podman.must("tag", podman.must("images", "-q").trim(), BUSYBOX_IMAGE);
      return podman;
    } catch (error) {
      await podman.machine.stop();
      throw error;
    }
  }

  /** Runs `podman` inside, to its end. */
  run(...argv: string[]): Finished {
    return this.machine.run(["podman", ...argv], this.#env);
  }

  /** Runs `podman` with what has to succeed; returns its stdout. */
  must(...argv: string[]): string {
    return this.machine.must(["podman", ...argv], this.#env);
  }

  /** Starts a container in the background that serves its own /etc (so also its name) on port 80. */
  runContainer(name: string, ...options: string[]): void {
    const parent = `--cgroup-parent=/${this.machine.cgroup}`;
    const command = ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc"];
    this.must("run", "-d", "--name", name, "--hostname", name, parent, ...options, BUSYBOX_IMAGE, ...command);
  }
}
