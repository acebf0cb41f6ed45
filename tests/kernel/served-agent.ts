import { existsSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";

export const BINARY = process.env.MINICNI_BIN ?? `${import.meta.dir}/../../dist/minicni`;

type Variables = Readonly<Record<string, string>>;

/**
 * A launcher that is killed between the handing over of a namespace and its request leaves a descriptor that nobody asks
 * for; the agent forgets it after 30 s (FORGOTTEN_MS of host/calls/descriptors.ts).
 */
const REST_MS = 35_000;

/** Where an agent is started, and with what. */
export interface AgentPlace {
  /** Of the node; a path. */
  readonly netns: string;
  readonly stateDir: string;
  /** Further variables; PATH as ours unless it is among them. */
  readonly env?: Variables;
  /** What goes before the agent's own command line. */
  readonly prefix?: readonly string[];
  /** Further words of its command line. */
  readonly args?: readonly string[];
  /** Where to its sockets are moved, so that they are reached whatever becomes of the state folder. */
  readonly socket?: string;
}

let agents = 0;

/** `minicni calls STATE_DIR` on a node: what an agent does for launchers, alone. It listens once this is made. */
export class CallAgent {
  readonly socket: string;
  readonly #child: Bun.Subprocess;
  readonly #files: readonly string[];

  constructor({ netns, stateDir, env = {}, prefix = [], args = [], socket }: AgentPlace) {
    const own = `${stateDir}/cni.sock`;
    this.socket = socket ?? own;
    const ready = `${tmpdir()}/mtest-ready-${process.pid}-${++agents}`;
    rmSync(ready, { force: true });
    this.#child = Bun.spawn({
      cmd: [
        "/usr/bin/setpriv",
        "--pdeathsig",
        "KILL",
        "/usr/bin/nsenter",
        `--net=${netns}`,
        ...prefix,
        BINARY,
        "calls",
        stateDir,
        ...args,
      ],
      env: { PATH: process.env.PATH, ...env },
      stdin: "ignore",
      stdout: Bun.file(ready),
      stderr: process.env.MTEST_AGENT_LOG ? Bun.file(process.env.MTEST_AGENT_LOG) : "ignore",
    });
    try {
      for (let tries = 0; textOf(ready) !== "ready\n"; tries++) {
        if (tries > 1_500 || !existsSync(`/proc/${this.pid}`)) throw new Error("the agent does not come up");
        Bun.sleepSync(2);
      }
    } catch (error) {
      this.#child.kill("SIGKILL");
      throw error;
    } finally {
      rmSync(ready, { force: true });
    }
    if (socket !== undefined) {
      for (const ending of [".fd", ""]) renameSync(`${own}${ending}`, `${socket}${ending}`);
    }
    this.#files = this.#openFiles();
  }

  get pid(): number {
    return this.#child.pid;
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && stateOf(this.pid) !== "Z";
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#child.kill(signal);
  }

  /** Ends it, and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
    this.kill(signal);
    return await this.exited;
  }

  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** The most memory that it has had, in MB. */
  peakMegabytes(): number {
    const [, kilobytes = "0"] =
      /^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) / 1024;
  }

  /**
   * Has strace at its main thread, which alone changes anything, with these faults (`-e inject=`); returns how to end that.
   */
  async inject(...faults: string[]): Promise<() => Promise<void>> {
    const words = faults.flatMap((fault) => ["-e", `trace=${fault.split(":")[0]}`, "-e", `inject=${fault}`]);
    const tracer = Bun.spawn({
      cmd: ["strace", "-o", "/dev/null", ...words, "-p", `${this.pid}`],
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const { value } = await tracer.stderr.getReader().read();
    if (!new TextDecoder().decode(value).includes("attached")) throw new Error("strace does not attach");
    return async () => {
      tracer.kill("SIGTERM");
      await tracer.exited;
    };
  }

  /** Waits until every launcher that was there is dealt with, also what those left that went away; nothing if it is dead. */
  async settled(): Promise<void> {
    for (const end = performance.now() + REST_MS; this.isAlive(); ) {
      // Whoever came before has been seen, and what he sent: connections are taken by turns.
      for (let turn = 0; turn < 2; turn++) await greeting(this.socket);
      if (this.isAlive() && this.#isIdle()) return;
      if (performance.now() > end) throw new Error(`the agent has no rest: ${this.#openFiles().join(" ")}`);
      await Bun.sleep(3);
    }
  }

  #isIdle(): boolean {
    try {
      const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, "utf8").trim();
      return children === "" && this.#openFiles().every((file) => this.#files.includes(file));
    } catch {
      return false;
    }
  }

  /** Locks, records and namespaces: each call that is under way has some of them open. */
  #openFiles(): string[] {
    const folder = `/proc/${this.pid}/fd`;
    const targets = readdirSync(folder).flatMap((name) => {
      try {
        return readlinkSync(`${folder}/${name}`);
      } catch {
        return [];
      }
    });
    return targets.filter((target) => /^\/(?!dev\/|memfd:)|^net:/.test(target));
  }
}

function stateOf(pid: number): string {
  return / ([A-Za-z]) /.exec(textOf(`/proc/${pid}/stat`).replace(/^.*\)/s, ""))?.[1] ?? "Z";
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Connects and waits for the first bytes, or for the end. */
function greeting(path: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path, () => undefined);
    const end = () => {
      socket.destroy();
      resolve();
    };
    socket.on("data", end).on("error", end).on("close", end);
    socket.setTimeout(5_000, end);
  });
}
