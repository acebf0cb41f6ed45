import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import { waitFor } from "../kernel/agent.ts";
import { run } from "../kernel/sandbox.ts";
import { type Attachments, observeAttachments } from "./attachments.ts";
import { makePluginFolder } from "./conflist.ts";

type Finished = ReturnType<typeof run>;

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_S = "20";

/**
 * PID 1 of a machine of its own: /run and /var/lib, where runtimes and plugins keep state, are empty and end with it.
 * It ends when its stdin does (so also when the test is killed), and with it every process and every mount.
 */
const INIT = `set -eu
for dir in /run /var/lib; do mount -t tmpfs tmpfs "$dir"; done
mkdir -p /run/netns /var/lib/cni
ip link set lo up
eval "$SCRIPT"
touch "$WORK/ready"
read -r _ || exit 0
`;

const machines = new Set<Machine>();
process.on("exit", () => {
  for (const machine of machines) machine.abandon();
});

/** A mount, network and PID namespace for a container runtime, with a folder of plugins. */
export class Machine {
  /** Everything that has to be on a real file system: images, configurations, sockets. */
  readonly work = mkdtempSync(`${tmpdir()}/minicni-e2e-`);
  /** To be CNI_PATH: the reference plugins and ours. */
  readonly plugins = makePluginFolder(this.work);
  /** A name of ours for cgroups: they lie outside of the namespaces. */
  readonly cgroup = basename(this.work);
  #process: Bun.Subprocess<"pipe", "ignore", "pipe"> | undefined;
  #init = 0;

  constructor() {
    machines.add(this);
  }

  /** Starts it, runs `script` by its PID 1 first; throws, with everything taken down again, when that fails. */
  async start(script = ":"): Promise<void> {
    if (process.getuid?.() !== 0) throw new Error("namespaces and mounts need root");
    const flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const started = Bun.spawn(["unshare", ...flags, "sh", "-c", INIT], {
      env: { PATH: process.env.PATH, WORK: this.work, SCRIPT: script },
      stdin: "pipe",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#process = started;
    try {
      const isReady = async () => {
        if (started.exitCode !== null)
          throw new Error(`PID 1 ended: ${await new Response(started.stderr).text()}`);
        return Bun.file(`${this.work}/ready`).exists();
      };
      await waitFor("the machine is ready", isReady, undefined, START_TIMEOUT_MS);
      const children = readFileSync(`/proc/${started.pid}/task/${started.pid}/children`, "utf8");
      this.#init = Number.parseInt(children, 10);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends PID 1 by its stdin; the kernel takes every process and mount along. Then the cgroups and the files. */
  async stop(): Promise<void> {
    const started = this.#process;
    const impatience = setTimeout(() => started?.kill("SIGKILL"), STOP_TIMEOUT_MS);
    started?.stdin.end();
    await started?.exited;
    clearTimeout(impatience);
    this.abandon();
  }

  /** The same without waiting, for the end of the test's process. */
  abandon(): void {
    machines.delete(this);
    this.#process?.kill("SIGKILL");
    // Runtimes remove these with the container; they stay when the container's end was the namespace's.
    run(["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", `*/${this.cgroup}*`, "-delete"]);
    rmSync(this.work, { recursive: true, force: true });
  }

  /** Runs a command inside, to its end. */
  run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Finished {
    return run(this.#inside(argv), { env });
  }

  /** Runs a command inside that has to succeed; returns its stdout. */
  must(argv: readonly string[], env: Readonly<Record<string, string>> = {}): string {
    const done = this.run(argv, env);
    if (done.exitCode === 0) return done.stdout;
    throw new Error(`${argv.join(" ")}: exit ${done.exitCode}: ${done.stdout}${done.stderr}`);
  }

  #inside(argv: readonly string[]): string[] {
    const entry = ["nsenter", "-t", String(this.#init), "-m", "-n", "-p"];
    return [...entry, "timeout", "-k", "1", COMMAND_TIMEOUT_S, ...argv];
  }

  /** Files under a folder as seen inside; none when it does not exist. */
  files(folder: string): string[] {
    const found = this.run(["find", folder, "-type", "f"]).stdout;
    return found.split("\n").filter((line) => line !== "");
  }

  /** What the attachments to a network hold. */
  attachments(network: string): Attachments {
    return observeAttachments((argv) => this.run(argv), network);
  }

  /** Every netfilter rule, both families, without comments and counters. */
  rules(): string {
    const saved = ["iptables-save", "ip6tables-save"].map((tool) => this.must([tool])).join("");
    return saved.replace(/^#.*\n/gm, "").replace(/\[\d+:\d+\]/g, "");
  }
}

/** Waits for all, also when one fails: none goes on behind the back of who takes them down. Then throws the first failure. */
export async function allDone(ends: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(ends);
  await Promise.all(ends);
}
