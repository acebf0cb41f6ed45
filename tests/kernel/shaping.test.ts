import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHost } from "../../src/host/linux.ts";
import { inNetns } from "../../src/host/netns.ts";
import { hasBucket } from "../../src/plan/shaping.ts";
import type { ObservedLink, ObservedShaping } from "../../src/plan/state.ts";
import { type Act, type Arena, ENGINES, openArena, outcomeOf, stepsOf, withArenas } from "./executors.ts";
import { BUCKETS } from "./executors-shaping.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const host = createHost();
const NOTHING: ObservedShaping = { bucket: null, redirectedTo: null };

function linkOf({ box }: Arena, name: string): ObservedLink {
  const link = inNetns(box.netns, () => host.link(name));
  if (link === null) throw new Error(`no link ${name}`);
  return link;
}

function shapingOf(arena: Arena, name: string): ObservedShaping {
  const { index } = linkOf(arena, name);
  return inNetns(arena.box.netns, () => host.shaping(index));
}

/** Runs acts by both engines and looks at each place. */
async function eachDone(
  before: readonly string[],
  acts: readonly Act[],
  look: (arena: Arena) => void,
): Promise<void> {
  await withArenas(before, async (arenas) => {
    for (const engine of ENGINES) {
      const plan = stepsOf(acts, arenas[engine].place);
      expect([engine, await outcomeOf(plan, engine)]).toEqual([engine, { failed: null, message: "" }]);
      look(arenas[engine]);
    }
  });
}

describe("what was set by either engine is seen", () => {
  test.each(BUCKETS.map((it) => [it.rate, it.burst, it] as const))(
    "%d bytes/s with a burst of %d",
    async (_rate, _burst, wanted) => {
      const seen: ObservedShaping[] = [];
      await eachDone([], [{ op: "qdisc.tbf", dev: "v1", ...wanted }], (arena) => {
        seen.push(shapingOf(arena, "v1"));
        expect(shapingOf(arena, "v0")).toEqual(NOTHING);
      });
      const [first = NOTHING, second] = seen;
      expect(second).toEqual(first);
      expect(first).toMatchObject({
        bucket: { rate: wanted.rate, limit: wanted.limit },
        redirectedTo: null,
      });
      expect(hasBucket(first, wanted)).toBe(true);
      // 3 % of it, but more than what one unit of time is.
      const less = wanted.burst - Math.ceil(wanted.burst * 0.03) - Math.ceil(wanted.rate * 2e-7) - 2;
      if (less > 0) expect(hasBucket(first, { ...wanted, burst: less })).toBe(false);
    },
  );

  test("where all that a link receives goes, beside what it sends", async () => {
    const acts: readonly Act[] = [
      { op: "qdisc.tbf", dev: "v0", rate: 125_000, burst: 5000, limit: 9000 },
      { op: "qdisc.tbf", dev: "i0", rate: 250_000, burst: 6000, limit: 8000 },
      { op: "qdisc.ingress", dev: "v0" },
      { op: "filter.redirect", dev: "v0", to: "i0" },
      { op: "qdisc.ingress", dev: "v1" },
    ];
    await eachDone(["link add i1 type ifb", "link add i0 type ifb"], acts, (arena) => {
      const target = linkOf(arena, "i0").index;
      expect(shapingOf(arena, "v0")).toEqual({
        bucket: { rate: 125_000, burst: 5000, limit: 9000 },
        redirectedTo: target,
      });
      expect(shapingOf(arena, "i0")).toEqual({
        bucket: { rate: 250_000, burst: 6000, limit: 8000 },
        redirectedTo: null,
      });
      for (const name of ["v1", "i1", "lo"]) expect(shapingOf(arena, name)).toEqual(NOTHING);
    });
  });

  test("multicast frames and the length of a queue", async () => {
    const set = { allmulti: true, txQueueLength: 77 };
    await eachDone(["link add i0 type ifb"], [{ op: "link.set", name: "v1", set }], (arena) => {
      expect(linkOf(arena, "v1")).toMatchObject({ allmulti: true, promisc: false, txQueueLength: 77 });
      expect(linkOf(arena, "v0")).toMatchObject({ allmulti: false, txQueueLength: 1000 });
      expect(linkOf(arena, "i0")).toMatchObject({ allmulti: false, txQueueLength: 32 });
    });
  });
});

describe("what is not ours to see", () => {
  test.each([
    ["another kind at the root", ["qdisc add dev v1 root handle 1: pfifo"]],
    ["an ingress without filters", ["qdisc add dev v1 handle ffff: ingress"]],
    ["a clsact without filters", ["qdisc add dev v1 clsact"]],
    [
      "a redirection of one protocol",
      [
        "qdisc add dev v1 handle ffff: ingress",
        "filter add dev v1 parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev v0",
      ],
    ],
    [
      "a redirection of some packets",
      [
        "qdisc add dev v1 handle ffff: ingress",
        "filter add dev v1 parent ffff: protocol all u32 match u32 5 255 action mirred egress redirect dev v0",
      ],
    ],
    [
      "a copy",
      [
        "qdisc add dev v1 handle ffff: ingress",
        "filter add dev v1 parent ffff: protocol all u32 match u32 0 0 action mirred egress mirror dev v0",
      ],
    ],
    [
      "another thing to do with all",
      [
        "qdisc add dev v1 handle ffff: ingress",
        "filter add dev v1 parent ffff: protocol all u32 match u32 0 0 classid 1:1",
      ],
    ],
  ])("%s", (_name, lines) => {
    expect(shapingOf(openArena(lines), "v1")).toEqual(NOTHING);
  });

  test("a bucket in a bucket: only the outer one holds for all", () => {
    const arena = openArena([
      "qdisc add dev v1 root handle 1: tbf rate 80000bit burst 6000b limit 8000b",
      "qdisc add dev v1 parent 1:1 handle 2: tbf rate 8000bit burst 5000b limit 9000b",
    ]);
    expect(shapingOf(arena, "v1").bucket).toEqual({ rate: 10_000, burst: 6000, limit: 8000 });
  });

  test("a link that is not there has nothing", () => {
    const { box } = openArena();
    for (const index of [0, 4711]) {
      expect(inNetns(box.netns, () => host.shaping(index))).toEqual(NOTHING);
    }
  });

  test("a target that is gone is no link", () => {
    const arena = openArena([
      "link add i0 type ifb",
      "qdisc add dev v1 handle ffff: ingress",
      "filter add dev v1 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev i0",
    ]);
    expect(shapingOf(arena, "v1").redirectedTo).toBe(linkOf(arena, "i0").index);
    arena.box.node("ip", "link", "del", "i0");
    expect(shapingOf(arena, "v1").redirectedTo).toBe(0);
  });

  test("all of many links: each has its own", async () => {
    const names = Array.from({ length: 150 }, (_, index) => `w${index}`);
    const acts = names.flatMap((dev, index): Act[] => [
      { op: "qdisc.tbf", dev, rate: 125_000 + index, burst: 5000, limit: 9000 },
      { op: "qdisc.ingress", dev },
      { op: "filter.redirect", dev, to: names[(index + 1) % names.length] ?? "" },
    ]);
    const arena = openArena(names.map((name) => `link add ${name} type ifb`));
    expect(await outcomeOf(stepsOf(acts, arena.place), "netlink")).toEqual({ failed: null, message: "" });
    const indexes = names.map((name) => linkOf(arena, name).index);
    const seen = inNetns(arena.box.netns, () => indexes.map((index) => host.shaping(index)));
    expect(seen.map((it) => it.bucket?.rate)).toEqual(names.map((_name, index) => 125_000 + index));
    expect(seen.map((it) => it.redirectedTo)).toEqual([...indexes.slice(1), indexes[0] ?? 0]);
  });
});
