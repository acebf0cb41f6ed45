import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  type Finished,
  type Json,
  type Pod,
  run,
  type Sandbox,
  type Started,
  type Variables,
} from "./sandbox.ts";
import { servesCalls } from "./served-path.ts";
import { type ErrorView, errorOf, resultOf } from "./views.ts";

/** Every program that the plugin may run. */
const PROGRAMS = [
  "ip",
  "bridge",
  "tc",
  "nft",
  ...["iptables", "ip6tables"].flatMap((tool) => [tool, `${tool}-restore`, `${tool}-save`]),
];

/** What the chosen run does. `late`: after its work; `from`: with all behind it; `slow`: half a second later. */
export type Fault = "fail" | "late" | "from" | "hang" | "hang-late" | "hang-from" | "slow";

/** What a failing stand-in says to stderr. */
export const INJECTED = "injected by the test";

/** Runs are numbered across processes: only one can make a file of a given name (`set -C`). */
function standIn(program: string, real: string): string {
  return `#!/bin/sh
set -C
n=1
until { echo "${program} $*" > "$FAULT_DIR/$n"; } 2>/dev/null; do n=$((n + 1)); done
at=$FAULT_AT
case $FAULT in *from) [ "$n" -ge "$at" ] && at=$n ;; esac
[ "$n" = "$at" ] || exec ${real} "$@"
case $FAULT in
  late | hang-late) ${real} "$@" ;;
esac
echo >> "$FAULT_DIR/struck"
case $FAULT in
  hang*) sleep 300; exit 1 ;;
  slow) sleep 0.5; exec ${real} "$@" ;;
esac
echo "${INJECTED}" >&2
exit 1
`;
}

/** One call's worth of stand-ins for the plugin's programs, of which one run goes wrong. */
export class Faults {
  readonly #dir: string;
  /** To be handed to the call. */
  readonly env: Variables;

  /** The n-th run of all, counted from 1; 0: none. */
  constructor(box: Sandbox, fault: Fault, nth: number) {
    const bin = `${box.dir}/bin`;
    if (!existsSync(bin)) install(bin);
    this.#dir = nextFolder(box);
    this.env = { PATH: `${bin}:${process.env.PATH}`, FAULT: fault, FAULT_AT: `${nth}`, FAULT_DIR: this.#dir };
  }

  /** The command lines so far, in order. */
  runs(): string[] {
    const numbers = readdirSync(this.#dir).map(Number).filter(Number.isInteger);
    return numbers.sort((a, b) => a - b).map((n) => readFileSync(`${this.#dir}/${n}`, "utf8").trim());
  }

  /** Whether the run was reached. */
  struck(): boolean {
    return existsSync(`${this.#dir}/struck`);
  }

  async untilStruck(): Promise<void> {
    for (let tries = 0; !this.struck(); tries++) {
      if (tries > 2000) throw new Error("the run that was to go wrong never came");
      await Bun.sleep(5);
    }
  }

  /** Command lines of processes that the call left behind, after some time to die. */
  async survivors(): Promise<string[]> {
    return survivors(this.#dir);
  }
}

function install(bin: string): void {
  mkdirSync(bin);
  for (const program of PROGRAMS) {
    const real = Bun.which(program);
    if (real === null) continue;
    writeFileSync(`${bin}/${program}`, standIn(program, real));
    chmodSync(`${bin}/${program}`, 0o755);
  }
}

let folders = 0;

/** A new folder of a name that is nowhere else: also the mark by which processes are found. */
export function nextFolder(box: Sandbox): string {
  const folder = `${box.dir}/run-${++folders}`;
  mkdirSync(folder);
  return folder;
}

/** Processes with this text in their environment, once those that are dying are dead. */
export async function survivors(mark: string): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    const found = marked(mark);
    if (found.length === 0 || tries > 1000) return found.map(({ command }) => command);
    await Bun.sleep(10);
  }
}

/** Ends what a test left behind on purpose. */
export function killMarked(mark: string): void {
  // A process in the middle of execve(2) shows no environment: only what two looks in a row don't find is gone.
  for (let looks = 0; looks < 2; looks++) {
    for (const { pid } of marked(mark)) {
      run(["kill", "-KILL", String(pid)]);
      looks = -1;
    }
    Bun.sleepSync(20);
  }
}

function marked(mark: string): { pid: number; command: string }[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").includes(`${mark}\0`)) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      // The agent that serves the call stays.
      return / calls \S+ $/.test(command) ? [] : [{ pid, command }];
    } catch {
      return [];
    }
  });
}

/** Whether `nft` sees the rules of iptables. */
const IS_NFT = run(["iptables", "-V"]).stdout.includes("nf_tables");

/** Names of all our chains and tables, and of the ports in them. */
export function rules(box: Sandbox): string[] {
  const listed = box.node("nft", "list", "ruleset");
  const names = listed.match(/MINICNI-MASQ-\w+|minicni_\w+|mcni[0-9a-f]+/g) ?? [];
  const legacy = IS_NFT ? [] : [...box.natRules(4), ...box.natRules(6)];
  return [...new Set([...names, ...legacy.map((rule) => rule.replace(/\[\d+:\d+\]/, ""))])].sort();
}

/** Everything an attachment makes, sorted. */
export function traces(box: Sandbox) {
  const { links, reservations, records } = box.leftovers();
  return {
    links: links.sort(),
    reservations: reservations.sort(),
    records: records.sort(),
    rules: rules(box),
  };
}

export const NO_TRACES = { links: [], reservations: [], records: [], rules: [] };

/** A finished call that succeeded with this result passes CHECK. */
export async function checked(box: Sandbox, pod: Pod, conf: Json, added: Finished): Promise<void> {
  const prevResult = resultOf(added);
  const check = await box.start("CHECK", pod, { ...conf, prevResult }).done;
  if (check.exitCode !== 0) throw new Error(`CHECK of ${pod.id}: ${check.stdout}`);
}

/** A call that has to end well; returns what it left. */
export async function good(box: Sandbox, command: string, pod: Pod, conf: Json): Promise<Finished> {
  const done = await box.start(command, pod, conf).done;
  if (done.exitCode !== 0) throw new Error(`${command} of ${pod.id}: ${done.stdout} ${done.stderr}`);
  return done;
}

/** GC with an empty list: nothing of the network is valid. */
export function gcAll(conf: Json): Json {
  return { ...conf, "cni.dev/valid-attachments": [] };
}

/** Message and details of a failed call. */
export function told(done: Finished): ErrorView & { text: string } {
  const error = errorOf(done);
  return { ...error, text: `${error.msg} | ${error.details ?? ""}` };
}

/** Works through all points, some at a time (much of a call is waiting), and tells of every one that fails. */
export async function eachOf<T>(points: readonly T[], width: number, work: (point: T) => Promise<void>) {
  const queue = [...points];
  const failures: string[] = [];
  const worker = async () => {
    for (let point = queue.shift(); point !== undefined; point = queue.shift()) {
      try {
        await work(point);
      } catch (error) {
        const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
        failures.push(`at ${JSON.stringify(point)}: ${reason}`);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${points.length} points: ${failures.join("\n\n")}`);
  }
}

/** A call whose stdin gets the whole configuration and is never closed. */
export function neverEnding(box: Sandbox, command: string, pod: Pod): Started {
  const child = Bun.spawn({
    cmd: box.argv(),
    env: { PATH: process.env.PATH, ...box.variables(command, pod) },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  child.stdin.write(JSON.stringify(box.conf({ deadline: 1 })));
  child.stdin.flush();
  const done = (async () => {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { exitCode: await child.exited, stdout, stderr };
  })();
  return { pid: child.pid, kill: (signal = "SIGKILL") => child.kill(signal), done };
}

/** Waits until the process catches SIGTERM: before, a signal ends it without a word. */
export async function untilCatching({ pid }: Started): Promise<void> {
  // A launcher catches nothing.
  if (servesCalls()) return;
  const sigterm = 1n << 14n;
  for (let tries = 0; tries < 2000; tries++) {
    const [, mask = "0"] = /^SigCgt:\s*(\w+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    if ((BigInt(`0x${mask}`) & sigterm) !== 0n) return;
    await Bun.sleep(5);
  }
  throw new Error(`${pid} never catches SIGTERM`);
}

/** Whether a program of the system is there. */
export function hasProgram(name: string): boolean {
  return run(["sh", "-c", `command -v ${name}`]).exitCode === 0;
}
