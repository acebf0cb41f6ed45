import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Engine } from "../../src/host/batch.ts";
import { executeEach } from "../../src/host/execute-each.ts";
import type { Plan } from "../../src/plan/step.ts";
import { prefix } from "../twin/words.ts";
import {
  type Act,
  type Arena,
  ENGINES,
  expectSameState,
  expectSameWords,
  meansOf,
  type Outcome,
  outcomeOf,
  stepsOf,
  textOf,
  withArenas,
} from "./executors.ts";
import { routeAct } from "./executors-route.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const LONG = "a-name-of-more-than-15";
const BRIDGE = { kind: "bridge", mac: "0a:58:0a:00:00:21" } as const;

interface Fault {
  readonly act: Act;
  /** What both engines tell; absent: `ip` itself says no, ends, and its batch has no line that is known. */
  readonly says?: string;
}

const link = (name: string, more: Partial<Act> = {}): Act => ({
  op: "link.add",
  link: { ...BRIDGE, name },
  undo: { op: "link.del", name },
  ...more,
}) as Act;

/** What is refused where v0, v1 and the route 10.6.0.0/16 are. */
const FAULTS: Readonly<Record<string, Fault>> = {
  "a link that is there": { act: link("v1", { isAtomic: true }), says: "File exists" },
  "a link that is there, said to be half done": { act: link("v1"), says: "File exists" },
  "a peer that is there": {
    act: {
      op: "link.add",
      link: { kind: "veth", name: "w0", peer: { name: "v1", netns: "" } },
      undo: { op: "link.del", name: "w0" },
      isAtomic: true,
    },
    says: "File exists",
  },
  "settings of no link": {
    act: { op: "link.set", name: "nosuch", set: { up: true } },
    says: 'Cannot find device "nosuch"',
  },
  "no such master": {
    act: { op: "link.set", name: "v0", set: { master: "nosuch" } },
    says: "nosuch",
  },
  "a master that is no bridge": {
    act: { op: "link.set", name: "v0", set: { master: "v1" } },
    says: "Operation not supported",
  },
  "an MTU that is too small": {
    act: { op: "link.set", name: "v0", set: { mtu: 10 } },
    says: "mtu less than device minimum",
  },
  "an MTU that is too great": {
    act: { op: "link.set", name: "v0", set: { mtu: 65_536 } },
    says: "mtu greater than device maximum",
  },
  "a link born with an MTU out of range": {
    act: { op: "link.add", link: { ...BRIDGE, name: "b1", mtu: 10 } },
    says: "mtu",
  },
  "port flags of what is no port": {
    act: { op: "link.set", name: "v0", set: { port: { hairpin: true } } },
    says: "",
  },
  "a MAC of a group": {
    act: { op: "link.set", name: "v0", set: { mac: "01:00:5e:00:00:01" } },
    says: "Cannot assign requested address",
  },
  "an alias that is too long": {
    act: { op: "link.set", name: "v0", set: { alias: "x".repeat(256) } },
  },
  "a name that is too long": { act: { op: "link.add", link: { ...BRIDGE, name: LONG } } },
  "no such link to delete": { act: { op: "link.del", name: "nosuch" }, says: 'Cannot find device "nosuch"' },
  "a link that can't be deleted": { act: { op: "link.del", name: "lo" }, says: "Operation not supported" },
  "an address on no link": {
    act: { op: "addr.replace", dev: "nosuch", prefix: prefix("10.5.0.1/24"), nodad: false },
    says: 'Cannot find device "nosuch"',
  },
  "no such address to delete": {
    act: { op: "addr.del", dev: "v0", prefix: prefix("10.5.0.1/24") },
    says: "Cannot assign requested address",
  },
  "no such address of IPv6 to delete": {
    act: { op: "addr.del", dev: "v0", prefix: prefix("fd05::1/64") },
    says: "Cannot assign requested address",
  },
  "a route by no link": {
    act: routeAct("append", "10.7.0.0/16", { dev: "nosuch" }),
    says: 'Cannot find device "nosuch"',
  },
  "a gateway out of reach": {
    act: routeAct("append", "10.7.0.0/16", { via: "192.0.2.1" }),
    says: "Nexthop has invalid gateway",
  },
  "a gateway of IPv6 out of reach": {
    act: routeAct("append", "fd07::/64", { via: "2001:db8::1" }),
    says: "",
  },
  "a route with bits behind its length": {
    act: routeAct("append", "10.7.0.1/16", { via: "10.0.0.9" }),
    says: "",
  },
  "a route that is there": {
    act: routeAct("append", "10.6.0.0/16", { via: "10.0.0.9", protocol: 157 }),
    says: "File exists",
  },
  "no such route to delete": { act: routeAct("del", "10.7.0.0/16"), says: "No such process" },
  "no such route of IPv6 to delete": { act: routeAct("del", "fd07::/64"), says: "No such process" },
  "no such table": { act: routeAct("del", "10.7.0.0/16", { table: 77 }), says: "" },
  "no such neighbour to delete": {
    act: { op: "neigh.del", dev: "v0", address: { family: 4, value: 0x0a000009n }, mac: "0e:00:00:00:00:aa" },
    says: "No such file or directory",
  },
  "a forwarding entry of what is no tunnel": {
    act: { op: "fdb.replace", dev: "v0", mac: "0e:00:00:00:00:aa", dst: { family: 4, value: 0x0a000009n } },
    says: "",
  },
  "a VLAN of what is no port": { act: { op: "vlan.add", dev: "v0", vid: 5 }, says: "" },
  "no such namespace": {
    act: { op: "link.set", name: "lo", set: { up: true }, netns: "/run/netns/nosuch" },
    says: "can't open the network namespace /run/netns/nosuch",
  },
};

/** Steps with undo around a fault; the last one is of the pod. */
function around(act: Act, position: number, { place }: Arena): Plan {
  const steps: Act[] = [
    link("b0", { isAtomic: true }),
    {
      op: "addr.replace",
      dev: "v0",
      prefix: prefix("10.4.0.1/24"),
      nodad: false,
      undo: { op: "addr.del", dev: "v0", prefix: prefix("10.4.0.1/24") },
    },
    { ...link("p0", { isAtomic: true }), netns: place.pod },
  ];
  return stepsOf([...steps.slice(0, position), act, ...steps.slice(position)], place);
}

const BEFORE = ["route add 10.6.0.0/16 via 10.0.0.9 dev v0 proto 157"];
const POSITIONS = [0, 1, 2, 3];

describe("a step that fails is the same one for both engines", () => {
  const told = async (act: Act): Promise<void> => {
    await withArenas(BEFORE, async (arenas) => {
      for (const position of POSITIONS) {
        const ends: Partial<Record<Engine, Outcome>> = {};
        const given: string[] = [];
        for (const engine of ENGINES) {
          const plan = around(act, position, arenas[engine]);
          ends[engine] = await outcomeOf(plan, engine);
          given.push(...textOf(plan));
        }
        await expectSameState(arenas, given);
        outcomes.push({ position, ...ends });
      }
    });
  };
  const outcomes: ({ position: number } & Partial<Record<Engine, Outcome>>)[] = [];

  test.each(Object.entries(FAULTS))("%s", async (_name, { act, says }) => {
    outcomes.length = 0;
    await told(act);
    expect(outcomes).toHaveLength(POSITIONS.length);
    for (const { position, iproute2, netlink } of outcomes) {
      expect(netlink?.failed).toBe(position);
      expect(iproute2?.failed).not.toBeNull();
      if (says === undefined) continue;
      expect(iproute2?.failed).toBe(position);
      expect(iproute2?.message).toContain(says);
      expectSameWords(netlink?.message ?? "", iproute2?.message ?? "");
    }
  });
});

describe("running each step", () => {
  test("both engines refuse the same ones, and do the others", async () => {
    const acts = Object.values(FAULTS).map(({ act }) => act);
    await withArenas(BEFORE, async (arenas) => {
      const refused = await Promise.all(
        ENGINES.map(async (engine) => {
          const { place } = arenas[engine];
          const good = [7, 8, 9].map((it) => routeAct("append", `10.${it}0.0.0/16`));
          const plan = stepsOf(
            acts.flatMap((act, index) => [act, ...good.slice(index % 3, (index % 3) + 1)]).concat(link("b0")),
            place,
          );
          const failures = await executeEach(plan, meansOf(engine));
          return failures.map(({ step }) => plan.indexOf(step)).sort((a, b) => a - b);
        }),
      );
      expect(refused[1]).toEqual(refused[0] ?? []);
      await expectSameState(arenas, [BRIDGE.mac]);
    });
  });
});
