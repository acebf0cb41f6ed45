import type { Address } from "../net/address.ts";
import type { ObservedAddress, ObservedLink } from "../plan/state.ts";
import { HostError } from "./errors.ts";
import { ask, attributes, decodeAddress, encodeAddress, type Message, textOf } from "./netlink/message.ts";

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BR_VLAN_FILTERING = 7;
/** IFLA_VXLAN_ of include/uapi/linux/if_link.h. */
const VXLAN = { id: 1, local: 4, learning: 7, port: 15, local6: 17 } as const;
const IFLA_BRPORT_STATE = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const IFLA_EXT_MASK = 29;
/** RTEXT_FILTER_SKIP_STATS: half of the answer, and of the kernel's work for it, would be counters. */
const SKIP_STATS = Uint8Array.of(8, 0, 0, 0);
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const IFF_UP = 1;
/** dev_get_flags of net/core/dev.c takes these two from what was asked for (gflags), not from what the device does. */
const IFF_PROMISC = 0x100;
const IFF_ALLMULTI = 0x200;
const ENODEV = 19;

/** One link of our namespace by name, in one netlink request; null when there is none. */
export function observeLink(name: string): ObservedLink | null {
  const payload = new TextEncoder().encode(`${name}\0`);
  return observeOne(new Uint8Array(16), [
    [IFLA_IFNAME, payload],
    [IFLA_EXT_MASK, SKIP_STATS],
  ]);
}

function observeOne(
  fixed: Uint8Array,
  wanted: readonly (readonly [number, Uint8Array])[],
): ObservedLink | null {
  let errno = 0;
  const query = { type: RTM_GETLINK, dump: false, fixed, attributes: wanted };
  const [message] = ask(query, (code) => {
    errno = code;
  });
  if (errno !== 0 && errno !== ENODEV)
    throw new HostError(`RTM_GETLINK failed: errno ${errno}`, "run as root");
  return message?.type === RTM_NEWLINK ? decodeLink(message) : null;
}

/** All links of our namespace. */
export function observeLinks(): ObservedLink[] {
  const query = { type: RTM_GETLINK, dump: true, fixed: new Uint8Array(16), attributes: [] };
  // No links would mean no pods to who cleans up behind them: better no answer than a wrong one.
  return ask(query, refuseError("RTM_GETLINK")).flatMap((message) =>
    message.type === RTM_NEWLINK ? [decodeLink(message)] : [],
  );
}

/** An answer that is an error is no empty table. */
function refuseError(request: string, expected = 0): (errno: number) => void {
  return (errno) => {
    if (errno !== expected) throw new HostError(`${request} failed: errno ${errno}`, "run as root");
  };
}

function decodeLink(message: Message): ObservedLink {
  const found = attributes(message.body, 16);
  const info = found.get(IFLA_LINKINFO);
  const details = info === undefined ? new Map<number, DataView>() : attributes(info, 0);
  const slave = details.get(IFLA_INFO_SLAVE_DATA);
  const port = slave === undefined ? undefined : attributes(slave, 0);
  const kind = textOf(details.get(IFLA_INFO_KIND));
  const data = details.get(IFLA_INFO_DATA);
  const own = data === undefined ? undefined : attributes(data, 0);
  const filtering = kind === "bridge" ? own?.get(IFLA_BR_VLAN_FILTERING) : undefined;
  const flags = message.body.getUint32(8, true);
  return {
    index: message.body.getInt32(4, true),
    name: textOf(found.get(IFLA_IFNAME)),
    alias: textOf(found.get(IFLA_IFALIAS)),
    kind,
    up: (flags & IFF_UP) !== 0,
    promisc: (flags & IFF_PROMISC) !== 0,
    allmulti: (flags & IFF_ALLMULTI) !== 0,
    txQueueLength: found.get(IFLA_TXQLEN)?.getUint32(0, true) ?? 0,
    vlanFiltering: filtering === undefined ? null : filtering.getUint8(0) !== 0,
    mtu: found.get(IFLA_MTU)?.getUint32(0, true) ?? 0,
    mac: mac(found.get(IFLA_ADDRESS)),
    masterIndex: found.get(IFLA_MASTER)?.getUint32(0, true) ?? null,
    portState: port?.get(IFLA_BRPORT_STATE)?.getUint8(0) ?? null,
    hairpin: port === undefined ? null : port.get(IFLA_BRPORT_MODE)?.getUint8(0) === 1,
    vxlan: kind === "vxlan" && own !== undefined ? decodeVxlan(own) : null,
    isolated: port === undefined ? null : port.get(IFLA_BRPORT_ISOLATED)?.getUint8(0) === 1,
  };
}

function decodeVxlan(own: ReadonlyMap<number, DataView>): ObservedLink["vxlan"] {
  const local = own.get(VXLAN.local) ?? own.get(VXLAN.local6);
  return {
    vni: own.get(VXLAN.id)?.getUint32(0, true) ?? 0,
    // __be16, unlike everything around it.
    port: own.get(VXLAN.port)?.getUint16(0) ?? 0,
    local: local === undefined ? null : decodeAddress(local),
    learning: own.get(VXLAN.learning)?.getUint8(0) !== 0,
  };
}

function mac(view: DataView | undefined): string {
  if (view === undefined) return "";
  return [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

/** All addresses of one link of our namespace. */
export function observeAddresses(index: number): ObservedAddress[] {
  return dumpAddresses(index);
}

/** All addresses of our namespace's links. */
export function observeOwnAddresses(): Address[] {
  return dumpAddresses(0).map(({ prefix }) => prefix.address);
}

/** `index` 0: of every link. */
function dumpAddresses(index: number): ObservedAddress[] {
  const fixed = new Uint8Array(8);
  new DataView(fixed.buffer).setUint32(4, index, true);
  const found: ObservedAddress[] = [];
  const query = { type: RTM_GETADDR, dump: true, fixed, attributes: [] };
  // ENODEV: a link that is gone has no addresses.
  for (const message of ask(query, refuseError("RTM_GETADDR", ENODEV))) {
    // Kernels before 4.20 ignore the filter of a strict dump, so that the index is looked at again.
    if (message.type !== RTM_NEWADDR || (index !== 0 && message.body.getUint32(4, true) !== index)) continue;
    const parts = attributes(message.body, 8);
    const view = parts.get(IFA_LOCAL) ?? parts.get(IFA_ADDRESS);
    if (view === undefined) continue;
    const address = decodeAddress(view);
    const linkLocal = address.family === 6 && address.value >> 118n === 0x3fan;
    found.push({ prefix: { address, length: message.body.getUint8(1) }, linkLocal });
  }
  return found;
}

/** MTU of the link by which the kernel would send to this address (one FIB look-up, no packet); null: no route. */
export function observeRouteMtu(towards: Address): number | null {
  const payload = encodeAddress(towards);
  const fixed = new Uint8Array(12);
  fixed[0] = towards.family === 4 ? 2 : 10;
  fixed[1] = payload.length * 8;
  const query = { type: RTM_GETROUTE, dump: false, fixed, attributes: [[RTA_DST, payload] as const] };
  const [message] = ask(query, () => undefined);
  if (message?.type !== RTM_NEWROUTE) return null;
  const index = attributes(message.body, 12).get(RTA_OIF)?.getUint32(0, true);
  if (index === undefined) return null;
  const request = new Uint8Array(16);
  new DataView(request.buffer).setInt32(4, index, true);
  return observeOne(request, [])?.mtu ?? null;
}
