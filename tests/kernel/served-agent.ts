import { afterAll, beforeAll } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { buildLauncher } from "./launcher-start.ts";

const BINARY = process.env.MINICNI_BIN ?? `${import.meta.dir}/../../dist/minicni`;
/** A folder as a runtime has it: the launcher, and the full binary beside it. */
interface Programs {
  readonly folder: string;
  readonly launcher: string;
  readonly standalone: string;
}

let isServed = process.env.MTEST_PATH === "served";
let programs: Programs | null = null;

/** Whether calls of sandboxes that are made now go by way of a launcher and an agent. */
export function servesCalls(): boolean {
  return isServed;
}

/**
 * Registers a suite a second time, with its calls served by an agent. A module of its own even where the suite itself runs
 * in this process: its tests are registered once for each.
 */
export async function runServed(suite: string): Promise<void> {
  // Some suites decide as they are loaded what they skip.
  const before = isServed;
  isServed = true;
  beforeAll(() => {
    isServed = true;
  });
  afterAll(() => {
    isServed = before;
  });
  try {
    await import(`./${suite}.test.ts?served`);
  } finally {
    isServed = before;
  }
}

/** Made once, gone with this process. `defines`: of the launcher. */
export function makePrograms(...defines: string[]): Programs {
  const folder = mkdtempSync(`${tmpdir()}/mtest-served-`);
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [launcher, standalone] = [`${folder}/minicni`, `${folder}/minicni-standalone`];
  copyFileSync(buildLauncher(`${folder}/build`, ...defines), launcher);
  symlinkSync(BINARY, standalone);
  return { folder, launcher, standalone };
}

export function servedPrograms(): Programs {
  programs ??= makePrograms();
  return programs;
}

type Variables = Readonly<Record<string, string>>;

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
        "setpriv",
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
    for (let tries = 0; this.isAlive(); tries++) {
      // Whoever came before has been seen, and what he sent: connections are taken by turns.
      for (let turn = 0; turn < 2; turn++) await greeting(this.socket);
      if (this.isAlive() && this.#isIdle()) return;
      if (tries > 2_000) throw new Error(`the agent has no rest: ${this.#openFiles().join(" ")}`);
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

/** The agents of one sandbox: one for all calls, and one for each environment that a call wants programs to see. */
export class ServedPath {
  /** False: where an agent has died, launchers find none. */
  isRevived = true;
  readonly #agents = new Map<string, CallAgent>();
  readonly #netns: string;
  readonly #dir: string;
  readonly #stateDir: string;
  #made = 0;

  constructor(netns: string, dir: string, stateDir: string) {
    this.#netns = netns;
    this.#dir = dir;
    this.#stateDir = stateDir;
  }

  /** Started when it is wanted, and again when it has died. */
  agent(env: Variables = {}): CallAgent {
    const wanted = Object.entries(env).filter(([name]) => name === "PATH" || name.startsWith("FAULT"));
    const key = JSON.stringify(wanted);
    const found = this.#agents.get(key);
    if (found !== undefined && (found.isAlive() || !this.isRevived)) return found;
    mkdirSync(`${this.#dir}/sockets`, { recursive: true });
    const socket = `${this.#dir}/sockets/${++this.#made}`;
    const made = new CallAgent({
      netns: this.#netns,
      stateDir: this.#stateDir,
      env: Object.fromEntries(wanted),
      socket,
    });
    this.#agents.set(key, made);
    return made;
  }

  argv(env?: Variables): string[] {
    const words = ["/usr/bin/nsenter", `--net=${this.#netns}`, "/usr/bin/env"];
    return [...words, `MINICNI_SOCKET=${this.agent(env).socket}`, servedPrograms().launcher];
  }

  /** Of the agents. */
  pids(): string[] {
    return [...this.#agents.values()].map(({ pid }) => `${pid}`);
  }

  async settled(): Promise<void> {
    for (const agent of this.#agents.values()) await agent.settled();
  }

  destroy(): void {
    for (const agent of this.#agents.values()) agent.kill();
    this.#agents.clear();
  }
}
