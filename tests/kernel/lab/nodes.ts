import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  addressesOf,
  agentLog,
  areJoined,
  downLab,
  editNodes,
  FOLDER,
  inside,
  lists,
  machine,
  mustLab,
  report,
  until,
  upLab,
  wrongs,
} from "./cluster.ts";

const before = machine();
describe("Nodes of the lab", () => {
  beforeAll(() => upLab("--nodes", "3", "--pods", "1", "--subnets", "3"), 60_000);
  afterAll(downLab, 60_000);

  const isWell = () => wrongs(report()).length === 0;

  describe("Nodes that are wrong", () => {
    const broken = [
      { metadata: { name: "without-cidr" }, spec: {}, status: { addresses: [] } },
      {
        metadata: { name: "odd-cidr" },
        spec: { podCIDRs: ["10.244.300.0/24"] },
        status: { addresses: [{ type: "InternalIP", address: "172.31.255.77" }] },
      },
      {
        metadata: { name: "odd-address" },
        spec: { podCIDRs: ["10.244.78.0/24"] },
        status: { addresses: [{ type: "InternalIP", address: "not-an-address" }] },
      },
      {
        metadata: { name: "taken-cidr" },
        spec: { podCIDRs: ["10.244.1.0/24"] },
        status: { addresses: [{ type: "InternalIP", address: "172.31.255.79" }] },
      },
      { metadata: { name: "shapeless" }, spec: { podCIDRs: "10.244.80.0/24" } },
    ];
    const names = broken.map(({ metadata }) => metadata.name);

    test("are named and harm nobody", async () => {
      editNodes((items) => [...items, ...broken]);
      await until("every one is named", () => {
        const log = readFileSync(agentLog("node2"), "utf8");
        return names.every((name) => log.includes(name));
      });
      expect(wrongs(report())).toEqual([]);
    }, 60_000);

    test("get what they are due once they are right", async () => {
      editNodes((items) =>
        items.map((item) =>
          item.metadata.name !== "odd-cidr" ? item : { ...item, spec: { podCIDRs: ["10.244.77.0/24"] } },
        ),
      );
      await until("it has a route", () => lists("node2", "10.244.77.0/24", "ip", "route"));
      editNodes((items) => items.filter(({ metadata }) => !names.includes(metadata.name)));
      await until("the route is gone", () => !lists("node2", "10.244.77.0/24", "ip", "route"));
    }, 60_000);

    test("a list that is cut off in the middle removes nothing", async () => {
      const list = readFileSync(`${FOLDER}/nodelist.json`, "utf8");
      await Bun.write(`${FOLDER}/nodelist.json`, list.slice(0, list.length / 2));
      await until("the agent tells", () => readFileSync(agentLog("node1"), "utf8").includes("nodelist.json"));
      await Bun.sleep(1_000);
      expect(areJoined("node1/pod1", "node2/pod1")).toBe(true);
      await Bun.write(`${FOLDER}/nodelist.json`, list);
      await until("all is well", isWell);
    }, 60_000);
  });

  describe("a node that gets another address", () => {
    test("is reached there", async () => {
      // Else the kernel takes the second address of a subnet away with the first.
      inside("node3", "sysctl", "-w", "net.ipv4.conf.eth0.promote_secondaries=1");
      inside("node3", "ip", "addr", "add", "172.31.253.33/24", "dev", "eth0");
      inside("node3", "ip", "addr", "add", "fd00:31:253::33/64", "dev", "eth0", "nodad");
      mustLab("node", "set", "node3", "--addresses", "172.31.253.33,fd00:31:253::33");
      await until("the FDB of node 1 leads there", () => lists("node1", "172.31.253.33", "bridge", "fdb"));
      inside("node3", "ip", "addr", "del", "172.31.253.3/24", "dev", "eth0");
      await until("pods reach each other", () => areJoined("node1/pod1", "node3/pod1"));
      expect(lists("node1", "172.31.253.3 ", "bridge", "fdb")).toBe(false);
    }, 60_000);
  });

  describe("two nodes that swap their pod CIDRs", () => {
    test("get routes the other way round, and pods made then reach each other", async () => {
      for (const node of ["node1", "node2"]) mustLab("pod", "rm", node, "pod1");
      editNodes((items) => {
        const [first, second, ...others] = items;
        if (first === undefined || second === undefined) throw new Error("no two nodes");
        return [{ ...first, spec: second.spec }, { ...second, spec: first.spec }, ...others];
      });
      const cidrOf = (node: string) => {
        const published: { podCidrs: string[] } = JSON.parse(
          readFileSync(`${FOLDER}/${node}/state/node.json`, "utf8"),
        );
        return published.podCidrs[0];
      };
      await until(
        "both publish it",
        () => cidrOf("node1") === "10.244.2.0/24" && cidrOf("node2") === "10.244.1.0/24",
      );
      for (const node of ["node1", "node2"]) mustLab("pod", "add", node, "pod2");
      expect(addressesOf("node1/pod2")[0]).toMatch(/^10\.244\.2\./);
      await until("all is well", isWell);
      expect(areJoined("node1/pod2", "node2/pod2")).toBe(true);
      expect(areJoined("node1/pod2", "node3/pod1")).toBe(true);
      // Of the old ones nothing is left, not even as an address of the tunnel's.
      expect(lists("node1", "10.244.1.", "ip", "addr", "show", "minicni.vxlan")).toBe(false);
      expect(lists("node1", "10.244.2.0/24 via", "ip", "route")).toBe(false);
    }, 60_000);
  });

  test("the machine's own network is as it was", () => {
    mustLab("down");
    expect(machine()).toBe(before);
  }, 30_000);
});
