import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { RouteTable, RTN_UNICAST, type TableRoute } from "../../../src/plan/route-table.ts";
import {
  foreignPorts,
  planDevicesRemoval,
  planFolderRemoval,
  planPodLinksRemoval,
  planRoutesRemoval,
} from "../../../src/topology/uninstall.ts";
import { fakeLink } from "../../twin/machine.ts";
import { address, prefix } from "../../twin/words.ts";

describe("routes", () => {
  const eth0 = fakeLink({ name: "eth0", index: 2 });
  const route = (more: Partial<TableRoute>): TableRoute => ({
    dst: prefix("10.244.2.0/24"),
    via: null,
    ifindex: 2,
    metric: null,
    isOnlink: false,
    type: RTN_UNICAST,
    protocol: 157,
    ...more,
  });

  test("of our protocol go, of both families and of every kind; others stay", () => {
    const table = new RouteTable();
    table.push(route({ via: address("10.9.0.2") }));
    table.push(route({ dst: prefix("fd44:0:0:2::/64"), via: address("fd09::2") }));
    table.push(route({ dst: prefix("10.244.9.0/24"), ifindex: 0, type: 6 }));
    table.push(route({ dst: prefix("10.99.0.0/24"), protocol: 80 }));
    table.push(route({ dst: prefix("10.98.0.0/24"), protocol: 3 }));
    expect(formatPlan(planRoutesRemoval(table, [eth0]))).toBe(
      [
        "# routes of protocol 157",
        "ip route del 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157",
        "ip route del fd44:0:0:2::/64 via fd09::2 dev eth0 proto 157 metric 1024",
        "ip route del blackhole 10.244.9.0/24 proto 157",
        "",
      ].join("\n"),
    );
  });
});

describe("links", () => {
  test("of pods are those of our name and kind, a veth's and an ifb's", () => {
    const links = [
      fakeLink({ name: "mcni0123456789a", kind: "veth" }),
      fakeLink({ name: "mcni0123456789b", kind: "bridge" }),
      fakeLink({ name: "mcni0", kind: "veth" }),
      fakeLink({ name: "veth0", kind: "veth" }),
      fakeLink({ name: "mcnii0123456789", kind: "ifb", alias: "minicni:pods:c1:eth0" }),
      fakeLink({ name: "mcnii012345678a", kind: "ifb", alias: "somebody else's" }),
      fakeLink({ name: "mcnii012345678b", kind: "dummy" }),
    ];
    expect(formatPlan(planPodLinksRemoval(links))).toBe(
      "# links of pods\nip link del dev mcni0123456789a\nip link del dev mcnii0123456789\n",
    );
  });

  test("of the node are the bridge, the tunnels and gateway ports, that first", () => {
    const links = [
      fakeLink({ name: "minicni0", kind: "bridge", index: 5 }),
      fakeLink({ name: "minicni.vxlan", kind: "vxlan" }),
      fakeLink({ name: "minicni.vxlan6", kind: "vxlan" }),
      fakeLink({ name: "mcnig0123456789", kind: "veth", masterIndex: 5 }),
      fakeLink({ name: "mcni0123456789a", kind: "veth", masterIndex: 5 }),
      fakeLink({ name: "cni0", kind: "bridge" }),
    ];
    const { steps, notes } = planDevicesRemoval(links, { isOthers: false });
    expect(formatPlan(steps)).toBe(
      [
        "# devices of minicni",
        "ip link del dev mcnig0123456789",
        "ip link del dev minicni0",
        "ip link del dev minicni.vxlan",
        "ip link del dev minicni.vxlan6",
        "",
      ].join("\n"),
    );
    expect(notes).toEqual([]);
  });

  test("of our names but another kind stay, which is told", () => {
    const links = [
      fakeLink({ name: "minicni0", kind: "bridge", index: 5 }),
      fakeLink({ name: "minicni.vxlan", kind: "" }),
    ];
    expect(planDevicesRemoval(links, { isOthers: false })).toMatchObject({
      steps: [{ op: "link.del", name: "minicni0" }],
      notes: ["minicni.vxlan is no vxlan but a device: it stays"],
    });
  });

  test("of our bridge are foreign that are neither pods' nor gateways'", () => {
    const links = [
      fakeLink({ name: "minicni0", kind: "bridge", index: 5 }),
      fakeLink({ name: "tap0", kind: "tun", masterIndex: 5 }),
      fakeLink({ name: "vethgo1", kind: "veth", masterIndex: 5 }),
      fakeLink({ name: "tap1", kind: "tun", masterIndex: 6 }),
      fakeLink({ name: "mcnig0123456789", kind: "veth", masterIndex: 5 }),
      fakeLink({ name: "mcni0123456789a", kind: "veth", masterIndex: 5 }),
    ];
    expect(foreignPorts(links)).toEqual(["tap0", "vethgo1"]);
    expect(foreignPorts(links.slice(1))).toEqual([]);
  });

  test("of Go minicni, which has the same bridge, stay", () => {
    const links = [fakeLink({ name: "minicni0", kind: "bridge", index: 5 })];
    expect(planDevicesRemoval(links, { isOthers: true })).toEqual({ steps: [], notes: [] });
  });
});

describe("a folder", () => {
  const isOurs = (name: string) => name !== "theirs";
  const plan = (names: readonly string[] | null) => planFolderRemoval("/f", names, isOurs, "why");

  test("goes when all in it is ours", () => {
    expect(formatPlan(plan(["b", "a"]).steps)).toBe("# why\nrm -f /f/a\nrm -f /f/b\nrmdir /f\n");
    expect(formatPlan(plan([]).steps)).toBe("# why\nrmdir /f\n");
  });

  test("stays with what is not ours, which is told", () => {
    const { steps, notes } = plan(["theirs", "a"]);
    expect(formatPlan(steps)).toBe("# why\nrm -f /f/a\n");
    expect(notes).toEqual(["/f stays, with what is not minicni's: theirs"]);
  });

  test("that is not there needs nothing", () => {
    expect(plan(null)).toEqual({ steps: [], notes: [] });
  });
});
