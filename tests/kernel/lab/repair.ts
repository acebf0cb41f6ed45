import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  areJoined,
  downLab,
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
// Node 1 and 2 reach each other directly, both reach node 3 through the tunnel.
describe("repairs in the lab", () => {
  beforeAll(() => upLab("--nodes", "3", "--pods", "2", "--subnets", "2"), 60_000);
  afterAll(downLab, 60_000);

  const joined = () => areJoined("node1/pod1", "node2/pod1") && areJoined("node1/pod1", "node3/pod1");

  describe("what somebody removes by hand on node 1 comes back, and with it the connections", () => {
    const attacks: readonly (readonly [string, () => void])[] = [
      ["a direct route", () => inside("node1", "ip", "route", "del", "10.244.2.0/24")],
      [
        "every route of ours",
        () => {
          for (const family of ["-4", "-6"]) inside("node1", "ip", family, "route", "flush", "proto", "157");
        },
      ],
      ["the tunnel device", () => inside("node1", "ip", "link", "del", "minicni.vxlan")],
      ["the tunnel device over IPv6", () => inside("node1", "ip", "link", "del", "minicni.vxlan6")],
      ["the tunnel device's state", () => inside("node1", "ip", "link", "set", "minicni.vxlan", "down")],
      ["the tunnel device's address", () => inside("node1", "ip", "addr", "flush", "dev", "minicni.vxlan")],
      ["the pods' bridge", () => inside("node1", "ip", "link", "del", "minicni0")],
      ["the bridge's state", () => inside("node1", "ip", "link", "set", "minicni0", "down")],
      ["the bridge's addresses", () => inside("node1", "ip", "addr", "flush", "dev", "minicni0")],
      [
        "the jump from FORWARD",
        () => {
          for (const tool of ["iptables", "ip6tables"]) inside("node1", tool, "-F", "FORWARD");
        },
      ],
      [
        "every chain",
        () => {
          for (const tool of ["iptables", "ip6tables"]) {
            for (const table of ["filter", "nat"]) {
              inside("node1", tool, "-t", table, "-F");
              inside("node1", tool, "-t", table, "-X");
            }
          }
        },
      ],
      [
        "forwarding",
        () => inside("node1", "sysctl", "-w", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"),
      ],
    ];

    test.each(attacks)(
      "%s",
      async (_what, attack) => {
        await until("all is well before", joined);
        attack();
        await until("all is well again", joined);
      },
      60_000,
    );

    test("and nothing is left to do", async () => {
      await until("no drift", () => wrongs(report()).length === 0);
    }, 60_000);
  });

  describe("a link", () => {
    test("that is cut and put back", async () => {
      inside("switch", "ip", "link", "set", "node1", "down");
      await until("node 1 is cut off", () => !areJoined("node1/pod1", "node2/pod1"));
      inside("switch", "ip", "link", "set", "node1", "up");
      await until("all is well again", joined);
    }, 60_000);

    test("that goes down on the node, which takes its routes away", async () => {
      const routes = ["10.244.2.0/24 via 172.31.255.2", "10.244.3.0/24 via"];
      inside("node1", "ip", "link", "set", "eth0", "down");
      expect(lists("node1", routes[0] ?? "", "ip", "route")).toBe(false);
      inside("node1", "ip", "link", "set", "eth0", "up");
      // IPv6 addresses and the default route go with the link; who configures the machine puts them back, not the agent.
      inside("node1", "ip", "addr", "replace", "fd00:31:255::1/64", "dev", "eth0", "nodad");
      inside("node1", "ip", "route", "replace", "default", "via", "172.31.255.254");
      inside("node1", "ip", "-6", "route", "replace", "default", "via", "fd00:31:255::fe");
      await until("all is well again", joined);
      for (const route of routes) expect(lists("node1", route, "ip", "route")).toBe(true);
    }, 60_000);

    test("that gets another MTU: the tunnel follows", async () => {
      inside("node1", "ip", "link", "set", "eth0", "mtu", "1400");
      await until("minicni.vxlan has MTU 1350", () =>
        lists("node1", "mtu 1350", "ip", "link", "show", "minicni.vxlan"),
      );
      inside("node1", "ip", "link", "set", "eth0", "mtu", "1500");
      await until("minicni.vxlan has MTU 1450", () =>
        lists("node1", "mtu 1450", "ip", "link", "show", "minicni.vxlan"),
      );
    }, 60_000);
  });

  test("what is not ours stays: routes, rules and links of others", async () => {
    inside("node1", "ip", "route", "add", "192.0.2.0/24", "via", "172.31.255.2", "proto", "static");
    inside("node1", "iptables", "-A", "FORWARD", "-s", "192.0.2.0/24", "-j", "ACCEPT");
    inside("node1", "ip", "link", "add", "other.vxlan", "type", "vxlan", "id", "99", "dstport", "4789");
    mustLab("agent", "restart", "node1");
    inside("node1", "ip", "route", "flush", "proto", "157");
    await until("all is well again", joined);
    expect(lists("node1", "192.0.2.0/24", "ip", "route")).toBe(true);
    expect(lists("node1", "-s 192.0.2.0/24 -j ACCEPT", "iptables", "-S", "FORWARD")).toBe(true);
    expect(lists("node1", "other.vxlan", "ip", "link")).toBe(true);
  }, 60_000);

  test("the machine's own network is as it was", () => {
    mustLab("down");
    expect(machine()).toBe(before);
  }, 30_000);
});
