import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { Fuse, fuseFileSystem, Killed } from "../../twin/fuse.ts";
import { shareWasmInstance } from "../../twin/one-pool.ts";
import { sequences } from "./commands.ts";
import { CONTAINERS, NETWORKS } from "./networks.ts";
import { Play, type Tally } from "./play.ts";

setDefaultTimeout(600_000);

/** `MODEL_RUNS=10` plays ten times as many; `MODEL_SEED` (and `MODEL_PATH`), as a failure prints them, plays it again. */
const RUNS = 2_000 * Number(process.env.MODEL_RUNS ?? 1);
const MAX_COMMANDS = 40;
const SEED = process.env.MODEL_SEED;
const PATH = process.env.MODEL_PATH;
const REPLAY = { ...(SEED ? { seed: Number(SEED) } : {}), ...(PATH ? { path: PATH } : {}) };

/** In memory where that can be had: a sequence makes and removes thousands of files. */
const folder = mkdtempSync(`${existsSync("/dev/shm") ? "/dev/shm" : tmpdir()}/minicni-model-`);
const fuse = new Fuse();
const tally: Tally = new Map();
/** What a killed call leaves behind it is nobody's fault. */
const ignoreKilled = (error: unknown) => {
  if (!(error instanceof Killed)) throw error;
};
const restore: (() => Promise<void>)[] = [];
beforeAll(async () => {
  process.on("unhandledRejection", ignoreKilled);
  restore.push(await fuseFileSystem(folder, fuse), await shareWasmInstance());
});
afterAll(async () => {
  for (const work of restore) await work();
  process.off("unhandledRejection", ignoreKilled);
  rmSync(folder, { recursive: true, force: true });
});

let counter = 0;
async function play(commands: Parameters<Play["run"]>[0][], byGc: boolean): Promise<void> {
  const it = new Play(NETWORKS, CONTAINERS, `${folder}/${++counter}`, fuse, tally);
  try {
    for (const command of commands) await it.run(command);
    await it.end(byGc);
  } finally {
    fuse.disarm();
    it.destroy();
  }
}

describe(`${RUNS} sequences of up to ${MAX_COMMANDS} commands`, () => {
  const commands = sequences({
    places: NETWORKS,
    containers: CONTAINERS,
    effects: { ADD: 70, DEL: 20 },
    maxCommands: MAX_COMMANDS,
    accidents: ["reboot", "records lost", "damage"],
  });

  test("calls, crashes, reboots and accidents: what the model says holds after each", async () => {
    const property = fc.asyncProperty(commands, fc.boolean(), play);
    await fc.assert(property, { numRuns: RUNS, endOnFailure: false, ...REPLAY });
    if (process.env.MODEL_TALLY) process.stderr.write(`${JSON.stringify(Object.fromEntries(tally))}\n`);
    if (SEED !== undefined) return;
    // A generator that has gone quiet would prove nothing.
    for (const [what, least] of Object.entries(LEAST)) {
      expect([what, (tally.get(what) ?? 0) >= least * (RUNS / 2000)]).toEqual([what, true]);
    }
  });
});

/** How often each thing happens at least in 2,000 sequences: half of what was counted. */
const LEAST: Readonly<Record<string, number>> = {
  "ADD succeeded": 5_000,
  "ADD said 4": 200,
  "ADD said 7": 1_000,
  "ADD said 11": 1_500,
  "killed ADD": 1_000,
  "killed DEL": 200,
  CHECK: 1_500,
  GC: 2_000,
  STATUS: 1_000,
  reboot: 500,
  "records lost": 500,
  "sandbox gone": 500,
  damage: 500,
};
