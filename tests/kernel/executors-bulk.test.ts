import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import type { Engine } from "../../src/host/batch.ts";
import { executePlan } from "../../src/host/execute.ts";
import { executeEach } from "../../src/host/execute-each.ts";
import { observeLinks } from "../../src/host/links.ts";
import { inNetns } from "../../src/host/netns.ts";
import { observeRouteTable } from "../../src/host/routes.ts";
import { formatPrefix } from "../../src/net/prefix.ts";
import { prefix } from "../twin/words.ts";
import {
  type Act,
  ENGINES,
  expectSameState,
  expectSameWords,
  meansOf,
  openArena,
  outcomeOf,
  stepsOf,
  withArenas,
} from "./executors.ts";
import { routeAct } from "./executors-route.ts";
import { destroySandboxes, type Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const del = (...names: readonly string[]) => names.map((name): Act => ({ op: "link.del", name }));

/** Names of the veths that are there, in order. */
function linksOf(box: Sandbox): string[] {
  return inNetns(box.netns, () => observeLinks().map(({ name }) => name)).sort();
}

/** The group of each link that is in another one than the first. */
function groupsOf(box: Sandbox): string[] {
  const links: { readonly ifname: string; readonly group?: string }[] = JSON.parse(
    box.node("ip", "-N", "-j", "link", "show"),
  );
  return links.flatMap(({ ifname, group }) =>
    group === undefined || group === "0" ? [] : [`${ifname} ${group}`],
  );
}

/** What both engines refuse of acts run each by itself: places in the plan with the words. */
async function refusals(
  before: readonly string[],
  acts: readonly Act[],
): Promise<{ readonly at: readonly number[]; readonly groups: readonly string[] }> {
  return await withArenas(before, async (arenas) => {
    const run = async (engine: Engine) => {
      const plan = stepsOf(acts, arenas[engine].place);
      const failures = await executeEach(plan, meansOf(engine));
      return failures.map(({ step, message }) => ({ at: plan.indexOf(step), message }));
    };
    const [iproute2, netlink] = [await run("iproute2"), await run("netlink")];
    expect(netlink.map(({ at }) => at)).toEqual(iproute2.map(({ at }) => at));
    for (const [index, { message }] of iproute2.entries()) {
      expectSameWords(netlink[index]?.message ?? "", message);
    }
    expect(linksOf(arenas.netlink.box)).toEqual(linksOf(arenas.iproute2.box));
    const groups = groupsOf(arenas.netlink.box);
    expect(groups).toEqual(groupsOf(arenas.iproute2.box));
    return { at: netlink.map(({ at }) => at), groups };
  });
}

describe("many routes", () => {
  const dstOf = (index: number) => `10.${64 + (index >> 8)}.${index & 255}.0/24`;

  test("3,000 of them: the one that is refused in each 100 is told, the others are there", async () => {
    const isBad = (index: number) => index % 100 === 99;
    const acts = Array.from({ length: 3000 }, (_, index) =>
      routeAct("replace", dstOf(index), { via: isBad(index) ? "192.0.2.1" : "10.0.0.9", protocol: 157 }),
    );
    await withArenas([], async (arenas) => {
      for (const engine of ENGINES) {
        const plan = stepsOf(acts, arenas[engine].place);
        const failures = await executeEach(plan, meansOf(engine));
        expect(failures.map(({ step }) => plan.indexOf(step))).toEqual(
          Array.from({ length: 30 }, (_, index) => 100 * index + 99),
        );
        for (const { message } of failures) expect(message).toStartWith("Error: Nexthop has invalid gateway");
        const table = inNetns(arenas[engine].place.node, observeRouteTable);
        const there = Array.from({ length: table.count }, (_, at) => formatPrefix(table.at(at).dst));
        expect(there.filter((dst) => dst !== "10.0.0.0/24" && dst !== "fd00::/64").sort()).toEqual(
          acts.flatMap((_act, index) => (isBad(index) ? [] : [dstOf(index)])).sort(),
        );
      }
    });
  });

  test("all of which are refused: each is told", async () => {
    const { box, place } = openArena();
    const acts = Array.from({ length: 1000 }, (_, index) =>
      routeAct("append", dstOf(index), index % 2 === 0 ? { via: "192.0.2.1" } : { dev: "nosuch" }),
    );
    const plan = stepsOf(acts, place);
    const failures = await executeEach(plan, meansOf("netlink"));
    expect(failures.map(({ step }) => plan.indexOf(step))).toEqual(plan.map((_step, index) => index));
    box.destroy();
  });
});

describe("many links removed in a row", () => {
  const NAMES = Array.from({ length: 60 }, (_, index) => `w${index}`);
  const pairs = (names: readonly string[]) =>
    names.flatMap((name) => [
      `link add ${name} type veth peer name ${name}x`,
      `link set ${name} addrgenmode none up`,
    ]);

  test("60 of them with some that are missing: those are told, a link in another group stays", async () => {
    const names = NAMES.map((name, index) => (index % 20 === 7 ? `no${index}` : name));
    const before = [...pairs(NAMES), "link set v0 group 77", "link set w3 group 77"];
    expect(await refusals(before, del(...names))).toEqual({ at: [7, 27, 47], groups: ["v0 77"] });
  });

  test.each([0, 2, 4])(
    "one that can't be removed at place %d is told, and stays in its group",
    async (at) => {
      const names = NAMES.slice(0, 4);
      const before = [...pairs(names), "link set lo group 9", "link set w1 group 9"];
      const acts = del(...names.slice(0, at), "lo", ...names.slice(at));
      expect(await refusals(before, acts)).toEqual({ at: [at], groups: ["lo 9"] });
    },
  );

  test("both ends of a pair: the second one is gone already", async () => {
    const names = NAMES.slice(0, 3);
    expect(await refusals(pairs(names), del("w0", "w1", "w1x", "w2", "w0x"))).toMatchObject({ at: [2, 4] });
  });

  test("the same one twice", async () => {
    expect(await refusals(pairs(["w0", "w1"]), del("w0", "w1", "w0"))).toMatchObject({ at: [2] });
  });

  test.each([
    ["missing", ["w0", "nosuch", "w1"]],
    ["not removable", ["w0", "lo", "w1", "nosuch"]],
    ["the first", ["lo", "w0", "w1"]],
    ["another end", ["w0", "w0x", "w1"]],
    ["named twice", ["w0", "w0", "w1"]],
  ])("a plan ends at the first one that can't be: %s", async (_name, names) => {
    await withArenas([...pairs(["w0", "w1"]), "link set w1 group 5"], async (arenas) => {
      const run = (engine: Engine) => outcomeOf(stepsOf(del(...names), arenas[engine].place), engine);
      const [iproute2, netlink] = [await run("iproute2"), await run("netlink")];
      expect(netlink.failed).toBe(iproute2.failed);
      expectSameWords(netlink.message, iproute2.message);
      await expectSameState(arenas, []);
    });
  });
});

describe("whatever happens", () => {
  const here = () => readlinkSync("/proc/thread-self/ns/net");
  const descriptors = () => readdirSync("/proc/self/fd").length;

  test("the thread comes back to its namespace, and nothing stays open", async () => {
    const { box, place } = openArena(["link add w0 type veth peer name w1"]);
    const address: Act = { op: "addr.replace", dev: "v0", prefix: prefix("10.5.0.1/24"), nodad: false };
    const veth = (netns: string): Act => ({
      op: "link.add",
      link: { kind: "veth", name: "w0", peer: { name: "eth0", netns } },
      isAtomic: true,
    });
    const plans = {
      good: [address, { ...address, dev: "lo", netns: place.pod }],
      refused: [address, routeAct("append", "10.7.0.0/16", { via: "192.0.2.1" })],
      "a peer's namespace is refused": [address, veth(place.pod)],
      "a peer's namespace is none": [address, veth("/run/netns/nosuch")],
      "a namespace is none": [{ ...address, netns: "/run/netns/nosuch" }],
      "a namespace is a file of another kind": [{ ...address, netns: "/etc/hostname" }],
      removals: del("nosuch", "lo"),
    } satisfies Record<string, readonly Act[]>;
    const home = here();
    const run = async (acts: readonly Act[]) => {
      const plan = stepsOf(acts, place);
      await executePlan(plan, meansOf("netlink")).catch(() => undefined);
      expect(here()).toBe(home);
      await executeEach(plan, meansOf("netlink"));
      expect(here()).toBe(home);
    };
    for (const acts of Object.values(plans)) await run(acts);
    const before = descriptors();
    for (let round = 0; round < 100; round++) for (const acts of Object.values(plans)) await run(acts);
    // The runtime opens a few of its own at times; a leak would be one in each round.
    expect(descriptors() - before).toBeLessThan(20);
    box.destroy();
  });

  test("a throw in the middle leaves the thread at home, and nothing open", async () => {
    const { box, place } = openArena();
    const step = stepsOf([{ op: "link.del", name: "v0" }], place);
    const veth = stepsOf(
      [
        { op: "link.set", name: "v1", set: { mtu: 1400 } },
        { op: "link.add", link: { kind: "veth", name: "w0", peer: { name: "w1", netns: "/x" } } },
        ...step,
      ],
      place,
    );
    const home = here();
    const open = meansOf("netlink").open;
    const means = {
      ...meansOf("netlink"),
      open: (path: string) => {
        if (path === "/x") throw new TypeError("a fault of ours");
        return open(path);
      },
    };
    const before = descriptors();
    for (let round = 0; round < 100; round++) {
      await expect(executePlan(veth, means)).rejects.toMatchObject({
        message: expect.stringContaining("a fault of ours"),
      });
      expect(here()).toBe(home);
    }
    // The runtime opens a few of its own at times; a leak would be one in each round.
    expect(descriptors() - before).toBeLessThan(20);
    expect(linksOf(box)).toContain("v0");
    box.destroy();
  });
});
