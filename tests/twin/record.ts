import type { AttachmentRecord } from "../../src/host/records.ts";
import { hostVethName } from "../../src/net/ifname.ts";

/** The record of a complete attachment of boot `boot-1` on minicni0, and what is given. */
export function fakeRecord(
  network: string,
  containerId: string,
  known: Partial<AttachmentRecord>,
): AttachmentRecord {
  return {
    version: 2,
    containerId,
    ifname: "eth0",
    netns: `/run/netns/${containerId}`,
    bootId: "boot-1",
    phase: "complete",
    kind: "bridge",
    bridge: "minicni0",
    hostVeth: hostVethName(network, containerId, "eth0"),
    hostMac: "",
    podMac: "",
    mtu: 1400,
    hairpin: true,
    isolated: false,
    vlan: null,
    ipam: null,
    dataDir: "/var/lib/cni/networks",
    addresses: ["10.1.0.5"],
    routes: [],
    masquerade: null,
    spoofCheck: false,
    hostPorts: null,
    ingress: null,
    egress: null,
    ifb: null,
    tuning: null,
    ...known,
  };
}
