import type {
  Ipam,
  IpamAttachment,
  IpamNetwork,
  IpamReservation,
  IpamSet,
} from "../../../src/doctor/sections/ipam.ts";

export const DATA_DIR = "/var/lib/cni/networks";
const SINCE = "2026-11-29T05:00:00.000Z";

/** A reservation of pod number n, by its address. */
export function reservation(
  address: string,
  containerId: string | null,
  more: Partial<IpamReservation> = {},
): IpamReservation {
  return {
    address,
    file: `${DATA_DIR}/minicni/${address}`,
    dataDir: DATA_DIR,
    containerId,
    ifname: containerId === null ? "" : "eth0",
    since: SINCE,
    isOtherBoot: false,
    ...more,
  };
}

type Recorded = Exclude<IpamAttachment["record"], null | "torn">;

/** A record of an ADD that came to its end. */
export function recordOf(addresses: readonly string[], more: Partial<Recorded> = {}): Recorded {
  return {
    phase: "complete",
    kind: "bridge",
    isOtherBoot: false,
    addresses: [...addresses],
    ipam: null,
    dataDir: DATA_DIR,
    ...more,
  };
}

/** A pod that lives, with these addresses. */
export function attachment(
  containerId: string,
  addresses: readonly string[],
  more: Partial<IpamAttachment> = {},
): IpamAttachment {
  return {
    containerId,
    ifname: "eth0",
    record: recordOf(addresses),
    hostVeth: { name: `mcni${containerId}`, bridge: "minicni0" },
    netns: `/run/netns/${containerId}`,
    netnsState: "there",
    podAddresses: [...addresses],
    pod: null,
    isCached: null,
    isBusy: false,
    ...more,
  };
}

/** 10.1.2.0/24 as a pod CIDR. */
export function set(more: Partial<IpamSet> = {}): IpamSet {
  return {
    text: "10.1.2.1-10.1.2.254",
    ranges: [{ subnet: "10.1.2.0/24", first: "10.1.2.1", last: "10.1.2.254", gateway: "10.1.2.1" }],
    cursor: null,
    next: "10.1.2.2",
    held: 0,
    reserved: 1,
    free: 253,
    bitmap: null,
    ...more,
  };
}

/** Network `minicni` of ours. */
export function network(more: Partial<IpamNetwork> = {}): IpamNetwork {
  return {
    network: "minicni",
    kind: "ours",
    conf: "/etc/cni/net.d/10-minicni.conflist",
    ipam: null,
    store: `${DATA_DIR}/minicni`,
    sets: [set()],
    reservations: [],
    attachments: [],
    ...more,
  };
}

/** A node with one network; `leakGraceMs` null: without an agent. */
export function ipamOf(one: Partial<IpamNetwork>, leakGraceMs: number | null = null): Ipam {
  return { leakGraceMs, networks: [network(one)], faults: [] };
}
