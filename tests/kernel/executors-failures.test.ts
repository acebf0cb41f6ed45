import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Engine } from "../../src/host/batch.ts";
import { executeEach } from "../../src/host/execute-each.ts";
import type { Plan } from "../../src/plan/step.ts";
import { prefix } from "../twin/words.ts";
import {
  type Act,
  type Arena,
  expectSameState,
  expectSameWords,
  type Fault,
  meansOf,
  type Outcome,
  outcomeOf,
  stepsOf,
  textOf,
  withArenas,
} from "./executors.ts";
import { routeAct } from "./executors-route.ts";
import { SHAPED, TRAFFIC_FAULTS } from "./executors-shaping.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const LONG = "a-name-of-more-than-15";
const BRIDGE = { kind: "bridge", mac: "0a:58:0a:00:00:21" } as const;

const link = (name: string, more: Partial<Act> = {}): Act =>
  ({
    op: "link.add",
    link: { ...BRIDGE, name },
    undo: { op: "link.del", name },
    ...more,
  }) as Act;

/** What is refused where v0, v1, the route 10.6.0.0/16 and a shaped link are. */
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
    isEnd: true,
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
    isEnd: true,
  },
  "a name that is too long": { act: { op: "link.add", link: { ...BRIDGE, name: LONG } }, isEnd: true },
  "no such link to delete": { act: { op: "link.del", name: "nosuch" }, says: 'Cannot find device "nosuch"' },
  "a link that can't be deleted": { act: { op: "link.del", name: "lo" }, says: "Operation not supported" },
  "an address on no link": {
    act: { op: "addr.replace", dev: "nosuch", prefix: prefix("10.5.0.1/24"), nodad: false },
    says: 'Cannot find device "nosuch"',
  },
  "no such address to delete": {
    act: { op: "addr.del", dev: "v0", prefix: prefix("10.5.0.1/24") },
    says: "",
  },
  "no such address of IPv6 to delete": {
    act: { op: "addr.del", dev: "v0", prefix: prefix("fd05::1/64") },
    says: "",
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
    isEnd: true,
  },
  "no such forwarding entry to delete": {
    act: { op: "fdb.del", dev: "v0", mac: "0e:00:00:00:00:aa", dst: { family: 4, value: 0x0a000009n } },
    says: "",
  },
  "a forwarding entry of no link": {
    act: { op: "fdb.replace", dev: "nosuch", mac: "0e:00:00:00:00:aa", dst: { family: 4, value: 1n } },
    says: 'Cannot find device "nosuch"',
  },
  "a VLAN of what is no port": { act: { op: "vlan.add", dev: "v0", vid: 5 }, says: "" },
  "no such namespace": {
    act: { op: "link.set", name: "lo", set: { up: true }, netns: "/run/netns/nosuch" },
    says: "can't open the network namespace /run/netns/nosuch",
  },
  ...TRAFFIC_FAULTS,
};

const addressOf = (dev: string, text: string, netns: string): Act => {
  const address = { dev, prefix: prefix(text) };
  return { op: "addr.replace", ...address, nodad: false, undo: { op: "addr.del", ...address }, netns };
};

/** Steps with undo around a fault, in two namespaces; the last one makes a link, which takes the kernel long to undo. */
function around(act: Act, position: number, { place }: Arena): Plan {
  const steps: Act[] = [
    addressOf("v0", "10.4.0.1/24", place.node),
    addressOf("lo", "fd04::1/64", place.pod),
    link("b0", { isAtomic: true }),
  ];
  return stepsOf([...steps.slice(0, position), act, ...steps.slice(position)], place);
}

const BEFORE = ["route add 10.6.0.0/16 via 10.0.0.9 dev v0 proto 157", ...SHAPED];
const POSITIONS = [0, 1, 2, 3];

describe("a step that fails is the same one for both engines", () => {
  test.each(Object.entries(FAULTS))("%s", async (_name, { act, says, isEnd }) => {
    for (const position of POSITIONS) {
      await withArenas(BEFORE, async (arenas) => {
        const given: string[] = [];
        const run = async (engine: Engine): Promise<Outcome> => {
          const plan = around(act, position, arenas[engine]);
          given.push(...textOf(plan));
          return await outcomeOf(plan, engine);
        };
        const [iproute2, netlink] = [await run("iproute2"), await run("netlink")];
        expect(netlink.failed).toBe(position);
        expect(iproute2.failed).not.toBeNull();
        if (isEnd !== true) expect(iproute2.failed).toBe(position);
        await expectSameState(arenas, given);
        if (says === undefined) return;
        expect(iproute2.message).toContain(says);
        expectSameWords(netlink.message, iproute2.message);
      });
    }
  });
});

describe("running each step", () => {
  test("both engines refuse the same ones with the same words, and do the others", async () => {
    const acts = Object.values(FAULTS).flatMap(({ act, isEnd }) => (isEnd === true ? [] : [act]));
    await withArenas(BEFORE, async (arenas) => {
      const run = async (engine: Engine) => {
        const { place } = arenas[engine];
        const mixed = acts.flatMap((act, index) => [act, routeAct("append", `10.${100 + index}.0.0/16`)]);
        const plan = stepsOf([...mixed, link("b0")], place);
        const failures = await executeEach(plan, meansOf(engine));
        return failures.map(({ step, message }) => ({ at: plan.indexOf(step), message }));
      };
      const [iproute2, netlink] = [await run("iproute2"), await run("netlink")];
      expect(netlink.map(({ at }) => at)).toEqual(acts.map((_act, index) => 2 * index));
      expect(iproute2.map(({ at }) => at)).toEqual(netlink.map(({ at }) => at));
      for (const [index, { message }] of iproute2.entries()) {
        expectSameWords(netlink[index]?.message ?? "", message);
      }
      await expectSameState(arenas, [BRIDGE.mac]);
    });
  });
});
