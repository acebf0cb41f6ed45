import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { measureHostLocal } from "../../src/entry/bench/alloc/host-local.ts";
import { type Context, QUICK } from "../../src/entry/bench/context.ts";
import { formatKey, type Measure } from "../../src/entry/bench/measure.ts";
import { findPeers } from "../../src/entry/bench/peers.ts";
import { createDeadline } from "../../src/host/deadline.ts";
import { OverdueError } from "../../src/host/errors.ts";
import { createHost } from "../../src/host/linux.ts";
import { BINARY } from "./sandbox.ts";

setDefaultTimeout(120_000);

const peers = await findPeers(createHost(), []);
if (peers.length === 0) process.stderr.write("bench-alloc: skipped, no host-local\n");

/** Files and namespaces of this process; other runs may be under way. */
const leftovers = () =>
  ["/var/tmp", "/run", "/run/netns"]
    .flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []))
    .filter((name) => name.startsWith(`mbench-${process.pid}-`));

/** A quick run; what it kept. */
async function run(change: Partial<Context>): Promise<Measure[]> {
  const kept: Measure[] = [];
  await measureHostLocal({
    host: createHost(),
    cleaner: createHost(),
    self: [BINARY],
    effort: QUICK,
    peers,
    tell: () => undefined,
    keep: (measures) => void kept.push(...measures),
    note: () => undefined,
    isStopped: () => false,
    ...change,
  });
  return kept;
}

test.skipIf(peers.length === 0)(
  "whole plugins are measured, ours and host-local, and nothing is left",
  async () => {
    const kept = await run({});
    const subjects = ["minicni", ...peers.map(({ version }) => `host-local ${version}`)];
    const wanted = ["/24, 0 % full", "/24, 99.9 % full", "/16, 0 % full", "/16, 99.9 % full"].flatMap(
      (range) =>
        ["ADD", "ADD, first", "DEL"].flatMap((metric) =>
          subjects.map((subject) => `alloc | ${range}, whole plugin | ${metric} | ${subject}`),
        ),
    );
    expect(kept.map(formatKey)).toEqual(wanted);
    expect(kept.every(({ median, unit }) => median > 0 && unit === "ms")).toBe(true);
    expect(leftovers()).toEqual([]);
  },
);

test("a run that is stopped after its first turn leaves nothing, and keeps what it found", async () => {
  let turns = 0;
  const host = createHost();
  const spawn: typeof host.spawn = (request) => {
    if (request.env?.CNI_COMMAND === "DEL") turns++;
    return host.spawn(request);
  };
  // Two DELs of each plugin are a round.
  const kept = await run({ host: { ...host, spawn }, isStopped: () => turns >= 2 * (1 + peers.length) });
  expect(new Set(kept.map(({ scenario, turns: taken }) => `${scenario}: ${taken}`))).toEqual(
    new Set(["/24, 0 % full, whole plugin: 1"]),
  );
  expect(leftovers()).toEqual([]);
});

test("a run that is interrupted in the middle of a call leaves nothing", async () => {
  const deadline = createDeadline(Number.POSITIVE_INFINITY);
  const host = createHost(deadline);
  const spawn: typeof host.spawn = (request) => {
    if (request.env?.CNI_COMMAND === "DEL") setTimeout(() => deadline.interrupt("the test said so"), 1);
    return host.spawn(request);
  };
  await expect(run({ host: { ...host, spawn } })).rejects.toThrow(OverdueError);
  expect(leftovers()).toEqual([]);
});
