import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import { waitFor } from "../kernel/agent.ts";
import { BINARY, must, run } from "../kernel/sandbox.ts";
import { type Attachments, observeAttachments } from "./attachments.ts";
import { BUSYBOX_IMAGE, makeImage } from "./image.ts";

type Finished = ReturnType<typeof run>;

const TOOLS = ["containerd", "ctr", "runc", "busybox", "unshare", "nsenter", "mount", "ip", "tar", "timeout"];
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 3_000;

/**
 * PID 1 of the machine of its own. `ctr run --cni` knows no other folders than /etc/cni/net.d and /opt/cni/bin, so
 * these, /run and /var/lib become tmpfs in a private mount namespace; what else is in /etc and /opt stays visible as
 * symlinks. It ends when its stdin does (so also when the test is killed), and with it every process and every mount.
 */
const INIT = `set -eu
touch "$WORK/minicni"
mount --bind "$BINARY" "$WORK/minicni"
for dir in /etc /opt; do
  mkdir -p "$WORK/real$dir"
  mount --bind "$dir" "$WORK/real$dir"
  mount -t tmpfs tmpfs "$dir"
  for entry in "$WORK/real$dir"/*; do
    case "$entry" in */cni | */'*') ;; *) ln -s "$entry" "$dir/" ;; esac
  done
done
for dir in /run /var/lib; do mount -t tmpfs tmpfs "$dir"; done
mkdir -p /etc/cni/net.d /opt/cni/bin
cp "$WORK/net.conflist" /etc/cni/net.d/10-minicni.conflist
ln -s "$WORK/minicni" /opt/cni/bin/minicni
ip link set lo up
containerd --config "$WORK/containerd.toml" </dev/null >"$WORK/containerd.log" 2>&1 &
read -r _ || exit 0
`;

/** The socket is not at the usual place: until INIT has mounted /run, the machine's own containerd would answer. */
const CONFIG = (socket: string) => `version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${socket}"
`;

/** A containerd with its own mount, network and PID namespace, CNI configured with one conflist. */
export class Containerd {
  readonly #work = mkdtempSync(`${tmpdir()}/minicni-e2e-`);
  readonly #socket = `${this.#work}/containerd.sock`;
  readonly #machine: Bun.Subprocess<"pipe", "ignore", "pipe">;
  readonly #clients: Bun.Subprocess[] = [];
  #init = 0;
  #execs = 0;

  private constructor(binary: string, conflist: unknown) {
    writeFileSync(`${this.#work}/net.conflist`, JSON.stringify(conflist));
    writeFileSync(`${this.#work}/containerd.toml`, CONFIG(this.#socket));
    const flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    this.#machine = Bun.spawn(["unshare", ...flags, "sh", "-c", INIT], {
      env: { PATH: process.env.PATH, WORK: this.#work, BINARY: binary },
      stdin: "pipe",
      stdout: "ignore",
      stderr: "pipe",
    });
  }

  /** Starts containerd and imports the image. Throws, with everything taken down again, when that fails. */
  static async start(conflist: unknown): Promise<Containerd> {
    const missing = TOOLS.filter((tool) => Bun.which(tool) === null);
    if (missing.length > 0) throw new Error(`missing: ${missing.join(" ")}: run 'make packages-test'`);
    if (process.getuid?.() !== 0) throw new Error("namespaces and mounts need root");
    const containerd = new Containerd(realpathSync(BINARY), conflist);
    try {
      await containerd.#ready();
      return containerd;
    } catch (error) {
      const log = run(["tail", "-n", "20", `${containerd.#work}/containerd.log`]).stdout;
      await containerd.stop();
      const said = await new Response(containerd.#machine.stderr).text();
      throw new Error(`containerd did not start: ${error}\n${said}${log}`);
    }
  }

  async #ready(): Promise<void> {
    const children = `/proc/${this.#machine.pid}/task/${this.#machine.pid}/children`;
    const answers = () => {
      if (this.#machine.exitCode !== null)
        throw new Error(`its namespace ended: exit ${this.#machine.exitCode}`);
      this.#init = Number.parseInt(readFileSync(children, "utf8"), 10) || 0;
      return this.#init !== 0 && this.run(...this.#ctr("version")).exitCode === 0;
    };
    await waitFor("containerd answers", answers, undefined, START_TIMEOUT_MS);
    const folder = `${this.#work}/image`;
    mkdirSync(folder);
    this.must(...this.#ctr("image", "import", "--snapshotter", "native", makeImage(folder)));
  }

  /** Ends PID 1 by its stdin; the kernel takes every process and mount along. Then the cgroups and the files. */
  async stop(): Promise<void> {
    const impatience = setTimeout(() => this.#machine.kill("SIGKILL"), STOP_TIMEOUT_MS);
    this.#machine.stdin.end();
    await Promise.all([this.#machine.exited, ...this.#clients.map(({ exited }) => exited)]);
    clearTimeout(impatience);
    // runc removes them with the container; they stay when the container's end was the namespace's.
    run(["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-name", `${basename(this.#work)}-*`, "-delete"]);
    rmSync(this.#work, { recursive: true, force: true });
  }

  /** Runs a command inside, to its end. */
  run(...argv: string[]): Finished {
    return run(this.#inside(...argv));
  }

  /** Runs a command inside that has to succeed; returns its stdout. */
  must(...argv: string[]): string {
    return must(...this.#inside(...argv));
  }

  #ctr(...argv: string[]): string[] {
    return ["ctr", "--address", this.#socket, ...argv];
  }

  #entry(): string[] {
    return ["nsenter", "-t", String(this.#init), "-m", "-n", "-p"];
  }

  #inside(...argv: string[]): string[] {
    return [...this.#entry(), "timeout", "-k", "1", "10", ...argv];
  }

  /** `ctr run --cni` in the foreground: only there does ctr call DEL. Resolves once the container runs. */
  async runContainer(id: string): Promise<Container> {
    const cgroup = `/${basename(this.#work)}-${id}`;
    const target = [
      "--rm",
      "--null-io",
      "--cni",
      "--cgroup",
      cgroup,
      "--snapshotter",
      "native",
      BUSYBOX_IMAGE,
      id,
    ];
    const client = Bun.spawn([...this.#entry(), ...this.#ctr("run", ...target, "sleep", "300")], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#clients.push(client);
    const runs = async () => {
      if (client.exitCode !== null) {
        throw new Error(
          `ctr run ${id}: exit ${client.exitCode}: ${await new Response(client.stderr).text()}`,
        );
      }
      return new RegExp(`^${id}\\s.*RUNNING`, "m").test(this.must(...this.#ctr("task", "ls")));
    };
    await waitFor(`${id} runs`, runs, undefined, START_TIMEOUT_MS);
    return {
      exec: (...argv) => {
        this.#execs++;
        return this.run(...this.#ctr("task", "exec", "--exec-id", `exec${this.#execs}`, id, ...argv));
      },
      remove: async () => {
        this.must(...this.#ctr("task", "kill", "--signal", "SIGKILL", id));
        const exitCode = await client.exited;
        return { exitCode, stderr: await new Response(client.stderr).text() };
      },
    };
  }

  /** IDs of the containers that containerd knows. */
  containers(): string[] {
    return this.must(...this.#ctr("container", "ls", "-q"))
      .split("\n")
      .filter((line) => line !== "");
  }

  /** What the attachments to a network hold. */
  attachments(network: string): Attachments {
    return observeAttachments((argv) => this.run(...argv), network);
  }

  /** Files under a folder as seen inside; none when it does not exist. */
  files(folder: string): string[] {
    const found = this.run("find", folder, "-type", "f").stdout;
    return found.split("\n").filter((line) => line !== "");
  }
}

/** One running container. */
export interface Container {
  /** Runs a command in it. */
  exec(...argv: string[]): Finished;
  /** Kills its task; resolves when `ctr run` has cleaned up (DEL, task, container), with what ctr left. */
  remove(): Promise<Pick<Finished, "exitCode" | "stderr">>;
}
