import { afterAll, beforeAll } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { buildLauncher } from "./launcher-start.ts";
import { BINARY, CallAgent } from "./served-agent.ts";

type Variables = Readonly<Record<string, string>>;

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
    if (programs !== null) rmSync(programs.folder, { recursive: true, force: true });
    programs = null;
  });
  try {
    await import(`./${suite}.test.ts?served`);
  } finally {
    isServed = before;
  }
}

/** Whoever has them made removes their folder. `defines`: of the launcher. */
export function makePrograms(...defines: string[]): Programs {
  const folder = mkdtempSync(`${tmpdir()}/mtest-served-`);
  const [launcher, standalone] = [`${folder}/minicni`, `${folder}/minicni-standalone`];
  copyFileSync(buildLauncher(`${folder}/build`, ...defines), launcher);
  symlinkSync(BINARY, standalone);
  return { folder, launcher, standalone };
}

export function servedPrograms(): Programs {
  programs ??= makePrograms();
  return programs;
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
