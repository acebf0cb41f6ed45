import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BRIDGE, destroySandboxes, type Json, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

/** Whether the bridges of this kernel can filter by VLAN: asked once, in a namespace of its own. */
function hasVlanFiltering(): boolean {
  const script = "ip link add b type bridge && ip link set b type bridge vlan_filtering 1";
  return run(["unshare", "--net", "sh", "-c", script]).exitCode === 0;
}

const isAble = hasVlanFiltering();
if (!isAble) process.stderr.write("vlan: skipped, the bridges of this kernel have no VLAN filtering\n");

interface VlanView {
  readonly ifname: string;
  readonly vlans: readonly { readonly vlan: number; readonly vlanEnd?: number; readonly flags?: string[] }[];
}

/** The VLANs of one port, as `42:PVID,Egress Untagged` and the like. */
function vlansOf(box: Sandbox, dev: string): string[] {
  const views: VlanView[] = JSON.parse(box.node("bridge", "-j", "vlan", "show", "dev", dev) || "[]");
  return views.flatMap(({ vlans }) =>
    vlans.map(({ vlan, vlanEnd, flags = [] }) =>
      [vlanEnd === undefined ? vlan : `${vlan}-${vlanEnd}`, ...flags].join(":"),
    ),
  );
}

/** The veth of the gateway of a VLAN: the port of the bridge that is no pod's. */
function gatewayPorts(box: Sandbox): string[] {
  return box
    .links()
    .filter(({ ifname, master }) => master === BRIDGE && !ifname.startsWith("mcni"))
    .map(({ ifname }) => ifname);
}

function withVlan(box: Sandbox, more: Json): Json {
  return box.conf(more, { ranges: [[{ subnet: "10.7.0.0/24" }]], routes: [] });
}

const OWN = ":PVID:Egress Untagged";

describe.skipIf(!isAble)("VLANs of pods", () => {
  const addIn = (box: Sandbox, pod: Pod, more: Json) => {
    const conf = withVlan(box, more);
    const result = box.add(pod, conf);
    expect(box.call("CHECK", pod, { ...conf, prevResult: result }).exitCode).toBe(0);
    return { conf, address: addressesOf(result)[0] ?? "", veth: result.interfaces[1]?.name ?? "" };
  };

  test("vlan: the port has it untagged, and no other; pods of one VLAN reach each other, others do not", () => {
    const box = new Sandbox();
    const [a, b, stranger] = [box.pod(), box.pod(), box.pod()];
    const first = addIn(box, a, { vlan: 42 });
    const second = addIn(box, b, { vlan: 42 });
    const other = addIn(box, stranger, { vlan: 43, isGateway: false });
    expect(vlansOf(box, first.veth)).toEqual([`42${OWN}`]);
    expect(box.pings(a.netns, second.address)).toBe(true);
    expect(box.pings(a.netns, other.address)).toBe(false);
  });

  test("the gateway of a VLAN is on a veth of that VLAN; a second pod finds it there; CHECK misses it", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const { conf } = addIn(box, a, { vlan: 42 });
    expect(box.pings(a.netns, "10.7.0.1")).toBe(true);
    const [port = "", ...others] = gatewayPorts(box);
    expect(others).toEqual([]);
    expect(vlansOf(box, port)).toEqual([`42${OWN}`]);
    expect(box.link(BRIDGE).addr_info.filter(({ family }) => family === "inet")).toEqual([]);
    addIn(box, b, { vlan: 42 });
    expect(gatewayPorts(box)).toEqual([port]);
    expect(box.pings(b.netns, "10.7.0.1")).toBe(true);
    const late = box.pod();
    const prevResult = box.add(late, conf);
    box.node("ip", "link", "del", port);
    expect(errorOf(box.call("CHECK", late, { ...conf, prevResult })).details).toContain("gateway 10.7.0.1");
  });

  test("CHECK sees a port that is out of its VLAN", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const { conf, veth } = addIn(box, pod, { vlan: 42 });
    box.call("DEL", pod, conf);
    const prevResult = box.add(pod, conf);
    box.node("bridge", "vlan", "del", "dev", veth, "vid", "42");
    const error = errorOf(box.call("CHECK", pod, { ...conf, prevResult }));
    expect(error.details).toContain(`port ${veth} is not in VLAN 42`);
  });

  test("vlanTrunk: tagged VLANs beside the own one; alone, VLAN 1 stays the native one", () => {
    const box = new Sandbox();
    const trunk = [{ minID: 100, maxID: 102 }, { id: 200 }];
    const { veth } = addIn(box, box.pod(), { vlan: 42, vlanTrunk: trunk });
    expect(vlansOf(box, veth)).toEqual([`42${OWN}`, "100", "101", "102", "200"]);
    const alone = addIn(box, box.pod(), { vlanTrunk: trunk, isGateway: false });
    expect(vlansOf(box, alone.veth)).toEqual([`1${OWN}`, "100", "101", "102", "200"]);
  });

  test("preserveDefaultVlan keeps VLAN 1", () => {
    const box = new Sandbox();
    const { veth } = addIn(box, box.pod(), { vlan: 42, preserveDefaultVlan: true });
    expect(vlansOf(box, veth)).toEqual(["1:Egress Untagged", `42${OWN}`]);
  });

  test("DEL of the last pod leaves no port of a pod; the next one finds the gateway again", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const { conf } = addIn(box, pod, { vlan: 42 });
    expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
    const next = box.pod();
    addIn(box, next, { vlan: 42 });
    expect(box.pings(next.netns, "10.7.0.1")).toBe(true);
  });
});

describe("VLANs that can't be", () => {
  for (const [what, more, told] of [
    ["4095", { vlan: 4095 }, "invalid VLAN ID 4095 (must be between 0 and 4094)"],
    ["−1", { vlan: -1 }, "invalid VLAN ID -1 (must be between 0 and 4094)"],
    ["no whole number", { vlan: 1.5 }, "invalid VLAN ID 1.5"],
    ["a trunk that runs backwards", { vlanTrunk: [{ minID: 9, maxID: 8 }] }, "minID is greater than maxID"],
    ["half a trunk", { vlanTrunk: [{ minID: 9 }] }, "maxID is missing"],
    ["a trunk of 0", { vlanTrunk: [{ id: 0 }] }, "incorrect trunk id parameter"],
  ] as const) {
    test(`${what}: refused (7), nothing is made`, () => {
      const box = new Sandbox();
      const error = errorOf(box.call("ADD", box.pod(), withVlan(box, more)));
      expect(error.code).toBe(7);
      expect(error.msg).toContain(told);
      expect(box.leftovers()).toEqual(NOTHING);
      expect(box.links().map(({ ifname }) => ifname)).toEqual(["lo"]);
    });
  }

  for (const [what, more, told] of [
    ["vlan", { vlan: 42 }, "vlan=42"],
    ["vlanTrunk", { vlanTrunk: [{ id: 42 }] }, "vlanTrunk"],
  ] as const) {
    test.skipIf(isAble)(`${what} on a kernel without VLANs in bridges: refused (2), nothing left`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const error = errorOf(
        box.call("ADD", pod, withVlan(box, { ...more, macspoofchk: true, ipMasq: true })),
      );
      expect(error.code).toBe(2);
      expect(error.msg).toContain(`unsupported field: ${told}`);
      expect(error.details).toContain("CONFIG_BRIDGE_VLAN_FILTERING");
      expect(box.leftovers()).toEqual(NOTHING);
      expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
      expect(box.node("nft", "list", "tables", "bridge")).toBe("");
      expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
      box.add(pod, withVlan(box, {}));
      expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
    });
  }

  test("VLAN 0 is none", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod, withVlan(box, { vlan: 0 }));
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });
});
