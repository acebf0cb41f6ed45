import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { must, run } from "../kernel/sandbox.ts";
import type { NetworkList } from "./conflist.ts";
import { CriClient } from "./cri-client.ts";
import { BUSYBOX_IMAGE, makeImage } from "./image.ts";
import { Machine } from "./machine.ts";

const TOOLS = [
  "containerd",
  "ctr",
  "runc",
  "busybox",
  "unshare",
  "nsenter",
  "iptables-save",
  "timeout",
  "tar",
];
const START_TIMEOUT_MS = 10_000;

// Without CAP_SYS_RESOURCE, as in many containers, the score can't be lowered: restrict_oom_score_adj.
const CONFIG = ({ work, plugins }: Machine) => `version = 2
[grpc]
address = "${work}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${BUSYBOX_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${plugins}"
conf_dir = "${work}/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
`;

/** Why containerd's CRI can't run here; null when it can. */
export function criFault(): string | null {
  const missing = TOOLS.filter((tool) => Bun.which(tool) === null);
  if (missing.length > 0) return `missing: ${missing.join(" ")}: run 'make packages-test'`;
  return process.getuid?.() === 0 ? null : "namespaces and mounts need root";
}

/** Containerd with its CRI service on a machine of its own, spoken to as the kubelet does. */
export class Cri extends CriClient {
  private constructor(
    readonly machine: Machine,
    network: NetworkList,
  ) {
    const { work } = machine;
    super(`${work}/containerd.sock`);
    mkdirSync(`${work}/net.d`);
    mkdirSync(`${work}/image`);
    writeFileSync(`${work}/net.d/10-minicni.conflist`, JSON.stringify(network));
    writeFileSync(`${work}/containerd.toml`, CONFIG(machine));
  }

  /** Starts containerd and imports the image. Throws, with everything taken down again, when that fails. */
  static async start(network: NetworkList): Promise<Cri> {
    const cri = new Cri(new Machine(), network);
    await cri.machine.start(
      'containerd --config "$WORK/containerd.toml" </dev/null >"$WORK/containerd.log" 2>&1 &',
    );
    try {
      await waitFor("the CRI answers", () => cri.answers(), undefined, START_TIMEOUT_MS);
      const archive = makePauseImage(`${cri.machine.work}/image`);
      const ctr = ["ctr", "--address", cri.socket, "-n", "k8s.io"];
      cri.machine.must([...ctr, "image", "import", "--snapshotter", "native", archive]);
      // The CRI hears of the image a little later.
      const isKnown = () => cri.knowsImage(BUSYBOX_IMAGE);
      await waitFor("the CRI knows the image", isKnown, undefined, START_TIMEOUT_MS);
      return cri;
    } catch (error) {
      const log = run(["tail", "-n", "20", `${cri.machine.work}/containerd.log`]).stdout;
      await cri.machine.stop();
      throw new Error(`containerd did not start: ${error}\n${log}`);
    }
  }

  /** A sandbox by its name; with `hostPort`, which leads to its port 80. Returns the pod's ID. */
  runNamed(
    name: string,
    { annotations = {}, hostPort }: { annotations?: Record<string, string>; hostPort?: number } = {},
  ): Promise<string> {
    const port = hostPort === undefined ? {} : { hostPorts: [{ containerPort: 80, hostPort }] };
    const cgroupParent = `/${this.machine.cgroup}`;
    return this.runPod({ name, uid: `uid-${name}`, cgroupParent, annotations, ...port });
  }

  /** A container in the pod that serves its /etc (so also the pod's name) on port 80; returns its ID. */
  runServer(pod: string): Promise<string> {
    const command = ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc"];
    return this.runContainer(pod, { name: "server", image: BUSYBOX_IMAGE, command });
  }
}

/** The image of {@link makeImage} with a command that stays, for a sandbox lives as long as its first process. */
export function makePauseImage(folder: string): string {
  const archive = makeImage(folder);
  const layout = `${folder}/layout`;
  const blob = (digest: string) => JSON.parse(readFileSync(`${layout}/${path(digest)}`, "utf8"));
  const add = (value: unknown) => {
    const content = JSON.stringify(value);
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    writeFileSync(`${layout}/${path(digest)}`, content);
    return { digest, size: content.length };
  };
  const index = JSON.parse(readFileSync(`${layout}/index.json`, "utf8"));
  const manifest = blob(index.manifests[0].digest);
  const config = blob(manifest.config.digest);
  config.config.Cmd = ["sleep", "3600"];
  Object.assign(manifest.config, add(config));
  Object.assign(index.manifests[0], add(manifest));
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
  must("tar", "-cf", archive, "-C", layout, ".");
  return archive;
}
const path = (digest: string) => `blobs/${digest.replace(":", "/")}`;
