import { readdirSync, readFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { HostError } from "../../../host/errors.ts";

/** What is watched, by process IDs. */
export interface MemoryTask {
  /** It is not counted itself, but whatever it starts from now on, and what that starts. */
  readonly root: number;
  /** A process that runs already: counted, with all that it has started and will start. */
  readonly standing?: number;
}

/** What was seen; the last line that {@link watchMemory} prints. */
export interface MemoryReport {
  /** The most that all of them had at once, in MiB; memory that many have together counts for each (RSS). */
  readonly residentMiB: number;
  /** The same, where that counts once (PSS). */
  readonly proportionalMiB: number;
  readonly looks: number;
}

/** First line of {@link watchMemory}: from now on it sees all. */
export const WATCHING = "watching";
/** Between two looks; what a look itself takes comes on top, which is up to some milliseconds with 200 processes. */
const PAUSE_MS = 2;

/**
 * Looks again and again, until SIGTERM, at the memory of all those processes (/proc/PID/smaps_rollup). Runs in a process of
 * its own, ahead of those it looks at.
 */
export async function watchMemory(task: MemoryTask, print: (text: string) => void): Promise<void> {
  let isEnding = false;
  process.once("SIGTERM", () => {
    isEnding = true;
  });
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch {
    // Not allowed to: it sees less of a busy machine.
  }
  const family = createFamily(task);
  family.look();
  print(`${WATCHING}\n`);
  const peak = { residentMiB: 0, proportionalMiB: 0 };
  let looks = 0;
  for (; !isEnding; looks++) {
    const sizes = family.look().map(sizesOf);
    const sum = (of: keyof Sizes) => sizes.reduce((total, size) => total + size[of], 0) / 1024;
    peak.residentMiB = Math.max(peak.residentMiB, sum("rss"));
    peak.proportionalMiB = Math.max(peak.proportionalMiB, sum("pss"));
    await Bun.sleep(PAUSE_MS);
  }
  print(`${JSON.stringify({ ...peak, looks } satisfies MemoryReport)}\n`);
}

/** What {@link watchMemory} printed. Throws HostError when it did not come to its end. */
export function parseMemoryReport(log: string): MemoryReport {
  const report: unknown = JSON.parse(log.trim().split("\n").at(-1) ?? "");
  if (typeof report === "object" && report !== null && "residentMiB" in report) {
    const { residentMiB, proportionalMiB, looks } = { proportionalMiB: 0, looks: 0, ...report };
    return {
      residentMiB: Number(residentMiB),
      proportionalMiB: Number(proportionalMiB),
      looks: Number(looks),
    };
  }
  throw new HostError(`the watch over memory told nothing: ${log}`, "see what it said");
}

/** Knows who belongs to a task; each look returns those that are there and run a program of their own. */
export function createFamily({ root, standing }: MemoryTask): { look(): number[] } {
  const parents = new Map<number, number>();
  const members = new Set<number>();
  const settled = new Set<number>();
  let isFirst = true;
  const belongs = (pid: number, parent: number) =>
    pid === standing || members.has(parent) || (parent === root && !isFirst && pid !== process.pid);
  const look = () => {
    const there = readdirSync("/proc")
      .filter((name) => /^[0-9]+$/.test(name))
      .map(Number);
    forget(new Set(there));
    for (const pid of there) {
      if (parents.has(pid)) continue;
      const parent = parentOf(pid);
      if (parent === null) continue;
      parents.set(pid, parent);
      if (belongs(pid, parent)) members.add(pid);
    }
    isFirst = false;
    return [...members].filter((pid) => {
      // Between vfork(2) and execve(2) a child has its parent's memory, which would count twice; and its words.
      if (!settled.has(pid) && pid !== standing) {
        const words = wordsOf(pid);
        if (words === "" || words === wordsOf(parents.get(pid) ?? 0)) return false;
        settled.add(pid);
      }
      return true;
    });
  };
  /** A number may be given again. */
  const forget = (there: ReadonlySet<number>) => {
    for (const pid of parents.keys()) {
      if (there.has(pid)) continue;
      parents.delete(pid);
      members.delete(pid);
      settled.delete(pid);
    }
  };
  return { look };
}

/** Field 4 of /proc/PID/stat, behind the name, which may hold blanks; null: it is gone. */
function parentOf(pid: number): number | null {
  const stat = readGone(`/proc/${pid}/stat`);
  return stat === "" ? null : Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function wordsOf(pid: number): string {
  return readGone(`/proc/${pid}/cmdline`);
}

/** In KiB. */
interface Sizes {
  readonly rss: number;
  readonly pss: number;
}

function sizesOf(pid: number): Sizes {
  const text = readGone(`/proc/${pid}/smaps_rollup`);
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
  return { rss: kib("Rss"), pss: kib("Pss") };
}

/** Empty when the process is gone. */
function readGone(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
