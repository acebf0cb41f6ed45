import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { type Context, QUICK } from "../../src/entry/bench/context.ts";
import type { Measure } from "../../src/entry/bench/measure.ts";
import { BESIDE_SCENARIO, LIMIT, NOBODY } from "../../src/entry/bench/network/limited.ts";
import { measureLimits } from "../../src/entry/bench/network/limits.ts";
import { findPeers, type Peers } from "../../src/entry/bench/peers.ts";
import { createDeadline } from "../../src/host/deadline.ts";
import { createHost } from "../../src/host/linux.ts";
import { BINARY } from "./sandbox.ts";

/** Without iperf3 the suite leaves limits out. */
const withIperf = test.skipIf(Bun.which("iperf3") === null);
const host = createHost();

const left = () =>
  ["/run/netns", "/run", "/var/tmp"].flatMap((folder) =>
    (existsSync(folder) ? readdirSync(folder) : []).filter((name) =>
      name.startsWith(`mbench-${process.pid}-`),
    ),
  );

/** A quick run in this process: what it measured, and its notes. */
async function measure(peers: readonly Peers[], more: Partial<Context> = {}) {
  const measures: Measure[] = [];
  const notes: string[] = [];
  await measureLimits(
    {
      host,
      cleaner: createHost(),
      self: [BINARY],
      effort: QUICK,
      peers,
      tell: () => undefined,
      keep: (found) => void measures.push(...found),
      note: (text) => void notes.push(text),
      isStopped: () => false,
      ...more,
    },
    [4],
  );
  return { measures, notes };
}

withIperf(
  "a limit is kept by ours and by the reference, others do not notice it, and nothing is left",
  async () => {
    const peers = await findPeers(host, []);
    const { measures, notes } = await measure(peers);
    expect(notes).toEqual([]);
    const theirs = peers.map(({ version }) => `bandwidth ${version}`);
    const subjects = (wanted: string) =>
      new Set(measures.filter(({ scenario }) => scenario === wanted).map(({ subject }) => subject));
    expect([...subjects("limit of 10 Mbit/s")]).toEqual([LIMIT, "minicni", ...theirs.slice(0, 1)]);
    expect([...subjects(BESIDE_SCENARIO)]).toEqual([NOBODY, "minicni"]);
    const ours = measures.filter(
      ({ subject, scenario }) => subject === "minicni" && scenario.startsWith("limit"),
    );
    expect(ours.map(({ metric }) => metric)).toEqual([
      "ingress",
      "egress",
      "ingress, from the first byte on",
      "egress, from the first byte on",
    ]);
    // One turn, on a machine that may be busy: far from what it would be without a limit is all that it shows.
    for (const { metric, ratios } of ours) {
      expect([metric, ratios[0]?.to]).toEqual([metric, LIMIT]);
      expect(ratios[0]?.ratio).toBeGreaterThan(0.5);
      expect(ratios[0]?.ratio).toBeLessThan(1.3);
    }
    expect(left()).toEqual([]);
  },
  60_000,
);

withIperf(
  "a peer that can't do it is left out, and a note says why",
  async () => {
    const { measures, notes } = await measure([{ folder: "/nonexistent", version: "0.0" }], {
      only: "limit of 10 M",
    });
    expect(new Set(measures.map(({ subject }) => subject))).toEqual(new Set([LIMIT, "minicni"]));
    expect(notes).toEqual([expect.stringMatching(/^limit of 10 Mbit\/s: bandwidth 0\.0 is left out: /)]);
    expect(left()).toEqual([]);
  },
  60_000,
);

withIperf(
  "an interruption ends it at once, and leaves nothing",
  async () => {
    const deadline = createDeadline(Number.POSITIVE_INFINITY);
    setTimeout(() => deadline.interrupt("SIGINT came"), 1_500);
    const began = performance.now();
    const work = measure([], { host: createHost(deadline) });
    expect(await work.catch(String)).toContain("SIGINT came");
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(left()).toEqual([]);
  },
  60_000,
);
