import { describe, expect, test } from "bun:test";
import { findBlock, missedFailures } from "../../../../src/entry/agent/blocking.ts";
import type { StepFailure } from "../../../../src/host/machine.ts";
import { HOST, type Operation } from "../../../../src/plan/step.ts";
import type { Path } from "../../../../src/topology/path.ts";
import { address, prefix } from "../../../twin/words.ts";

const peer = { name: "n2", podCidrs: [prefix("10.244.2.0/24")], addresses: [address("10.9.0.2")] };
const dst = prefix("10.244.2.0/24");
const DIRECT: Path = { peer, dst, kind: "direct", via: address("10.9.0.2"), ifindex: 2 };
const TUNNEL: Path = {
  ...{ peer, dst, kind: "tunnel", underlay: 4, remote: address("10.9.0.2") },
  mac: "0e:00:00:00:00:01",
  nextHop: address("10.244.2.0"),
};
const failure = (operation: Operation): StepFailure => ({
  step: { ...operation, netns: HOST, why: "" },
  command: "x",
  message: "no",
});
const ROUTE = failure({ op: "route.replace", route: { dst, dev: "eth0" } });
const FORWARD = failure({ op: "sysctl.set", key: "net/ipv4/ip_forward", value: "1", optional: false });
const local = address("10.9.0.1");
const DEVICE = failure({
  op: "link.add",
  link: { kind: "vxlan", name: "minicni.vxlan", mac: "", mtu: 1450, vni: 1, port: 2, local },
});
const DEVICE6 = failure({
  op: "link.add",
  link: { kind: "vxlan", name: "minicni.vxlan6", mac: "", mtu: 1430, vni: 1, port: 2, local },
});
const UP = failure({ op: "link.set", name: "minicni.vxlan", set: { up: true } });
const FILTER = failure({
  op: "sysctl.set",
  key: "net/ipv4/conf/minicni.vxlan/rp_filter",
  value: "2",
  optional: true,
});
const outcome = (paths: Path[], failures: StepFailure[], deviceFaults: string[] = []) => ({
  paths,
  failures,
  deviceFaults,
  devices: [],
});

describe("pods may come although", () => {
  test.each([
    ["a peer's route is refused", outcome([DIRECT], [ROUTE])],
    [
      "the other family's tunnel device can't be made",
      outcome([TUNNEL], [DEVICE6], ["minicni.vxlan6 is a bridge"]),
    ],
    ["there is no tunnel device and no path needs one", outcome([DIRECT], [DEVICE, UP, FILTER])],
    ["somebody else has its name and no path needs it", outcome([DIRECT], [], ["minicni.vxlan is a bridge"])],
  ])("%s", (_what, given) => {
    expect(findBlock(given)).toBeNull();
  });
});

describe("pods had better not come when", () => {
  test.each([
    ["the node does not forward", outcome([DIRECT], [FORWARD]), "`x`: no"],
    ["a path needs the tunnel device that could not be made", outcome([DIRECT, TUNNEL], [DEVICE]), "`x`: no"],
    ["or could not be set up", outcome([TUNNEL], [UP]), "`x`: no"],
    [
      "or whose name is taken",
      outcome([TUNNEL], [], ["minicni.vxlan is a bridge"]),
      "minicni.vxlan is a bridge",
    ],
  ])("%s", (_what, given, why) => {
    expect(findBlock(given)).toBe(why);
  });
});

test("failures about a device that no path needs are missed by nobody", () => {
  expect(missedFailures(outcome([DIRECT], [DEVICE, UP, FILTER, ROUTE]))).toEqual([ROUTE]);
  expect(missedFailures(outcome([TUNNEL], [DEVICE, ROUTE]))).toEqual([DEVICE, ROUTE]);
});
