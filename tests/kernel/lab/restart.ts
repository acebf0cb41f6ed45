import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  addressesOf,
  agentPid,
  downLab,
  hasEnded,
  inside,
  lists,
  machine,
  mustLab,
  until,
  upLab,
} from "./cluster.ts";
import { type Connection, connectPods } from "./connection.ts";

const before = machine();
// Node 1 and 2 reach each other directly, both reach node 3 through the tunnel.
describe("restarts in the lab", () => {
  beforeAll(() => upLab("--nodes", "3", "--pods", "1", "--subnets", "2"), 60_000);
  afterAll(downLab, 60_000);

  const netns = (pod: string) => `/run/netns/mclab-${pod.replace("/", "-")}`;

  describe("an established TCP connection", () => {
    const WAYS = [
      { way: "direct", to: "node2/pod1" },
      { way: "through the tunnel", to: "node3/pod1" },
    ].flatMap((one) => [0, 1].map((at) => ({ ...one, family: at === 0 ? "IPv4" : "IPv6", at })));
    const connections: Connection[] = [];
    const flows = async () => {
      const counts = connections.map(({ echoed }) => echoed());
      await until("data flows over every connection", () =>
        connections.every(({ echoed }, index) => echoed() > (counts[index] ?? 0) + 5),
      );
      expect(connections.map(({ isBroken }) => isBroken())).toEqual(WAYS.map(() => false));
    };

    beforeAll(async () => {
      for (const { to, at } of WAYS) {
        const address = addressesOf(to)[at] ?? "";
        connections.push(await connectPods(netns("node1/pod1"), netns(to), address));
      }
    });
    afterAll(() => {
      for (const connection of connections) connection.close();
    });

    test("carries data", flows);

    test("survives that the agents are restarted", async () => {
      for (const node of ["node1", "node2", "node3"]) mustLab("agent", "restart", node);
      await flows();
    }, 60_000);

    test("survives that agents are killed, lives while there is none, and survives that they come back", async () => {
      const pid = agentPid("node1");
      for (const node of ["node1", "node3"]) mustLab("agent", "kill", node);
      expect(hasEnded(pid)).toBe(true);
      await flows();
      for (const node of ["node1", "node3"]) mustLab("agent", "start", node);
      await flows();
    }, 60_000);
  });

  describe("a peer that goes while an agent is down", () => {
    const everything = (node: string) =>
      [
        ["ip", "route"],
        ["ip", "-6", "route"],
        ["bridge", "fdb"],
        ["ip", "neigh", "show", "nud", "permanent"],
        ["ip", "-6", "neigh", "show", "nud", "permanent"],
      ]
        .map((argv) => inside(node, ...argv))
        .join("");
    // Pod CIDRs, and the underlay address that FDB entries lead to.
    const traces = ["10.244.3.", "fd00:10:244:3:", "172.31.254.3", "fd00:31:254::3"];
    const seen = (node: string) => traces.filter((trace) => everything(node).includes(trace));

    test("leaves its routes, FDB and neighbours while nobody can tell", () => {
      expect(seen("node1")).toEqual(traces);
      mustLab("agent", "kill", "node1");
      mustLab("node", "rm", "node3");
      expect(seen("node1")).toEqual(traces);
    }, 30_000);

    test("is gone once the agent is back, and only that peer", async () => {
      mustLab("agent", "start", "node1");
      await until("nothing of node3 is left", () => seen("node1").length === 0);
      expect(lists("node1", "10.244.2.0/24", "ip", "route")).toBe(true);
    }, 60_000);

    test("comes back with the NodeList", async () => {
      mustLab("node", "set", "node3");
      await until("node3 is there again", () => seen("node1").length === traces.length);
    }, 60_000);
  });

  test("the machine's own network is as it was", () => {
    mustLab("down");
    expect(machine()).toBe(before);
  }, 30_000);
});
