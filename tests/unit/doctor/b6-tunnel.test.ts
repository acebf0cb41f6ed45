import { describe, expect, test } from "bun:test";
import { tunnelCheck } from "../../../src/doctor/checks/b6-tunnel.ts";
import type { Tunnel } from "../../../src/doctor/sections/tunnel.ts";
import { findingsOf, linesOf } from "./facts.ts";

type Device = Tunnel["devices"][number];
const NONE = { count: 0, commands: [] };
const FDB = {
  count: 2,
  commands: [
    "bridge fdb replace 0e:1 dst 10.8.0.3 dev minicni.vxlan self",
    "bridge fdb replace 0e:2 dst 10.8.0.4 dev minicni.vxlan self",
  ],
};
const OBSERVED: NonNullable<Device["observed"]> = {
  kind: "vxlan",
  isUp: true,
  mac: "0e:29:69:10:51:85",
  mtu: 1450,
  vxlan: { vni: 157, port: 8472, local: "10.9.0.1" },
  addresses: ["10.244.1.0/32"],
  txChecksum: true,
};
const DEVICE: Device = {
  name: "minicni.vxlan",
  family: 4,
  peers: 2,
  desired: { vni: 157, port: 8472, local: "10.9.0.1", mac: "0e:29:69:10:51:85", mtu: 1450 },
  observed: OBSERVED,
  conflict: null,
  steps: NONE,
  forwarding: NONE,
  neighbours: NONE,
  stale: NONE,
};
const HEALTHY: Tunnel = {
  backend: "auto",
  hasAgent: true,
  isLive: true,
  devices: [DEVICE],
  others: [],
  sockets: [{ family: 4, program: null }],
  probes: [],
};
const of = (changes: Partial<Tunnel>) => findingsOf(tunnelCheck, { tunnel: { ...HEALTHY, ...changes } });
const device = (changes: Partial<Device>) => ({ devices: [{ ...DEVICE, ...changes }] });
const probe = (peer: string, node: boolean, tunnel: boolean, software: boolean) => ({
  peer,
  dev: "minicni.vxlan",
  nodeAddress: "10.8.0.3",
  tunnelAddress: "10.244.3.0",
  node,
  tunnel,
  software,
});
const GONE = { observed: null, steps: { count: 5, commands: ["ip link add minicni.vxlan type vxlan"] } };

describe("B6, the tunnel", () => {
  test.each<[string, Partial<Tunnel>, string]>([
    [
      "all well",
      { probes: [probe("n3", true, true, true)] },
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 2 pod CIDRs behind it, 1 of 1 asked answer",
    ],
    [
      "nobody asked",
      {},
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 2 pod CIDRs behind it, not tried by a packet",
    ],
    [
      "a peer that is down",
      { probes: [probe("n3", false, false, false)] },
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 2 pod CIDRs behind it, not tried: no peer asked answers at all",
    ],
    ["no peer", device({ peers: 0 }), "PASS B6 minicni.vxlan (IPv4, UDP 8472): no peer is behind it"],
    [
      "checksum offload off",
      device({ observed: { ...OBSERVED, txChecksum: false } }),
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 2 pod CIDRs behind it, not tried by a packet, checksum offload off",
    ],
    [
      "another VNI on the port",
      { others: [{ name: "flannel.1", isUp: true, vni: 1, port: 8472, local: "10.9.0.1" }] },
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 2 pod CIDRs behind it, not tried by a packet",
    ],
    ["host-gw", { backend: "host-gw" }, "SKIP B6 tunnel: backend host-gw has none"],
    ["no agent", { hasAgent: false }, "SKIP B6 tunnel: no agent works here (no agent.json, no node.json)"],
    ["no device", device(GONE), "FAIL B6 minicni.vxlan is not there: 2 pod CIDRs behind it can't be reached"],
    ["no device and nobody behind it", device({ ...GONE, peers: 0 }), "WARN B6 minicni.vxlan is not there"],
    [
      "down",
      device({
        observed: { ...OBSERVED, isUp: false },
        steps: { count: 1, commands: ["ip link set minicni.vxlan up"] },
      }),
      "FAIL B6 minicni.vxlan is down: 2 pod CIDRs behind it can't be reached",
    ],
    [
      "changed",
      device({ steps: { count: 1, commands: ["ip link set minicni.vxlan address 0e:29:69:10:51:85"] } }),
      "FAIL B6 minicni.vxlan is not as it should be: 2 pod CIDRs behind it can't be reached",
    ],
    [
      "another kind",
      device({ conflict: "it is a bridge", observed: { ...OBSERVED, kind: "bridge", vxlan: null } }),
      "FAIL B6 minicni.vxlan is a bridge and no VXLAN device",
    ],
    [
      "missing entries",
      device({ forwarding: FDB }),
      "FAIL B6 minicni.vxlan lacks 2 forwarding entries of the peers of 2 pod CIDRs behind it",
    ],
    [
      "entries of nobody",
      device({ stale: FDB }),
      "WARN B6 minicni.vxlan has 2 entries of peers that are gone",
    ],
    [
      "entries of nobody, by an old list",
      { ...device({ stale: FDB }), isLive: false },
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 2 pod CIDRs behind it, not tried by a packet",
    ],
    [
      "UDP that is dropped",
      { probes: [probe("n3", true, false, false)] },
      "FAIL B6 UDP 8472 (IPv4) is lost between this node and n3: nothing comes through minicni.vxlan, though the node answers",
    ],
    [
      "UDP that is dropped to one",
      { probes: [probe("n3", true, false, false), probe("n4", true, true, true)] },
      "WARN B6 UDP 8472 (IPv4) is lost between this node and n3: nothing comes through minicni.vxlan, though the node answers",
    ],
    [
      "checksums that nobody finishes",
      { probes: [probe("n3", true, false, true)] },
      "FAIL B6 packets whose checksum minicni.vxlan leaves to hardware do not arrive at n3",
    ],
  ])("%s", (_what, changes, line) => {
    expect(linesOf(of(changes))).toEqual([line]);
  });

  test("who keeps the device away is named: a twin, or a program on its port", () => {
    const twin = { name: "flannel.157", isUp: true, vni: 157, port: 8472, local: null };
    expect(of({ ...device(GONE), others: [twin] })[0]).toMatchObject({
      cause: expect.stringContaining("flannel.157 has the same VNI 157 and UDP port 8472"),
      fix: expect.arrayContaining(["ip link del flannel.157"]),
    });
    const [finding] = of({ ...device(GONE), sockets: [{ family: 6, program: "nc (pid 12)" }] });
    expect(finding?.evidence).toContain("udp port 8472: nc (pid 12)");
    expect(finding?.cause).toStartWith("nc (pid 12) has the UDP port 8472");
  });

  test("what to do are the plan's own commands", () => {
    expect(of(device({ forwarding: FDB }))[0]?.fix).toEqual(FDB.commands);
    expect(of({ probes: [probe("n3", true, false, true)] })[0]?.fix).toEqual([
      "ethtool -K minicni.vxlan tx-checksum-ip-generic off",
    ]);
  });
});
