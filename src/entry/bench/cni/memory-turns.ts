import { isRunning, startDaemon, stopDaemon } from "../../../host/daemon.ts";
import { HostError } from "../../../host/errors.ts";
import { HOST } from "../../../plan/step.ts";
import { inParallel } from "../../lab/parallel.ts";
import { type Context, isWanted } from "../context.ts";
import { single } from "../turns.ts";
import { type MemoryReport, parseMemoryReport, WATCHING } from "./memory.ts";
import { contestantsOf, firstPods, keepTurns, nameBurst } from "./scenarios.ts";
import type { Side } from "./side.ts";

/** As many as an interval needs; the most that a burst had at once hardly varies. */
const TURNS = 6;
const READY_TIMEOUT_MS = 10_000;
const POLL_MS = 5;
const STOP_MS = 5_000;

const UNITS = {
  "burst peak memory, all processes": "MiB",
  "burst peak memory, all processes, shared parts once": "MiB",
  "drain peak memory, all processes": "MiB",
  "drain peak memory, all processes, shared parts once": "MiB",
} as const;

/** Bursts in which it is looked, from outside, how much memory all that takes part has at once; nothing is timed. */
export async function measureBurstMemory(
  context: Context,
  sides: readonly Side[],
  folder: string,
  pods: number,
  atOnce: number,
): Promise<void> {
  const scenario = nameBurst(pods, atOnce);
  if (context.isStopped() || !isWanted(context, scenario)) return;
  context.tell(`${scenario}: memory`);
  const run = async (side: Side, work: (index: number) => Promise<unknown>) => {
    return await watchWhile(context, `${folder}/memory.log`, side, async () => {
      await inParallel(firstPods(pods), atOnce, work);
    });
  };
  const contestants = contestantsOf(sides, async (side) => {
    const burst = await run(side, (index) => side.add(index));
    const drain = await run(side, (index) => side.del(index));
    return {
      "burst peak memory, all processes": single(burst.residentMiB),
      "burst peak memory, all processes, shared parts once": single(burst.proportionalMiB),
      "drain peak memory, all processes": single(drain.residentMiB),
      "drain peak memory, all processes, shared parts once": single(drain.proportionalMiB),
    };
  });
  const turns = context.effort.isQuick ? 1 : TURNS;
  await keepTurns(context, scenario, { least: turns, most: turns, withinMs: 0 }, UNITS, contestants);
}

/** Runs `work` while a process of its own watches what we start, and the side's agent. */
async function watchWhile(
  { host, cleaner, self }: Context,
  logPath: string,
  { serving }: Side,
  work: () => Promise<void>,
): Promise<MemoryReport> {
  host.removeFile(logPath);
  const standing = serving === null ? [] : ["--standing", String(serving.pid)];
  const argv = [...self, "bench", "memory", "--root", String(process.pid), ...standing];
  const daemon = startDaemon({ argv, netns: HOST, env: {}, logPath });
  try {
    const end = performance.now() + READY_TIMEOUT_MS;
    while (!host.readFile(logPath)?.startsWith(WATCHING)) {
      host.deadline.check("the watch over memory");
      if (!isRunning(daemon) || performance.now() > end) {
        throw new HostError(`no watch over memory: ${host.readFile(logPath)}`, "see what it said");
      }
      await host.sleep(POLL_MS);
    }
    await work();
  } finally {
    await stopDaemon(daemon, STOP_MS);
  }
  return parseMemoryReport(cleaner.readFile(logPath) ?? "");
}
