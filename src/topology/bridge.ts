import { type Address, isSameAddress } from "../net/address.ts";
import { macOfAddress, macOfName } from "../net/mac.ts";
import { formatPrefix, isSamePrefix, overlaps, type Prefix } from "../net/prefix.ts";
import type { ObservedAddress, ObservedLink } from "../plan/state.ts";
import { HOST, type LinkSettings, type Plan, type Step } from "../plan/step.ts";

/** The bridge as it should be. */
export interface Bridge {
  readonly name: string;
  /** Bytes; set at creation only, so that later ports can't lower it. */
  readonly mtu: number;
  readonly promisc: boolean;
  /** Gateway addresses with their subnets' lengths; empty when it is no gateway. */
  readonly addresses: readonly Prefix[];
  /** Replace a wrong address instead of refusing. */
  readonly forceAddress: boolean;
  /** A port has VLANs of its own; absent: left as it is. */
  readonly vlanFiltering?: boolean;
}

/** The name is taken by something else, or the bridge carries an address that contradicts ours. */
export class BridgeConflict extends Error {
  override readonly name = "BridgeConflict";
}

/** Gateway addresses of an attachment, one for each subnet. */
export function gatewayPrefixes(gateways: readonly { gateway: Address; length: number }[]): Prefix[] {
  const prefixes: Prefix[] = [];
  for (const { gateway, length } of gateways) {
    if (prefixes.some((known) => isSameAddress(known.address, gateway))) continue;
    prefixes.push({ address: gateway, length });
  }
  return prefixes;
}

/**
 * What has to change for the bridge to be as desired; empty when it is. No step has an undo: the bridge is shared,
 * another attachment may use it a moment later. Throws {@link BridgeConflict}.
 */
export function planBridge(
  bridge: Bridge,
  link: ObservedLink | null,
  addresses: readonly ObservedAddress[],
): Plan {
  checkKind(bridge.name, "bridge", link);
  const isUnfiltered = link !== null && link.vlanFiltering !== true;
  return [
    ...(link === null ? createSteps(bridge) : []),
    ...(bridge.vlanFiltering === true && isUnfiltered
      ? [set(bridge, { vlanFiltering: true }, "ports with VLANs of their own")]
      : []),
    ...addressSteps(bridge, addresses),
    ...(bridge.promisc && link?.promisc !== true
      ? [set(bridge, { promisc: true }, "promiscuous bridge")]
      : []),
    ...(link?.up === true ? [] : [set(bridge, { up: true }, "the bridge up")]),
  ];
}

/** Throws {@link BridgeConflict} when the name is taken by a link of another kind. */
export function checkKind(name: string, kind: "bridge" | "veth", link: ObservedLink | null): void {
  if (link === null || link.kind === kind) return;
  const found = link.kind === "" ? "a physical device" : `of type ${link.kind}`;
  throw new BridgeConflict(`${name} already exists and is ${found}, wanted a ${kind}`);
}

function set(bridge: Bridge, settings: LinkSettings, why: string): Step {
  return { op: "link.set", netns: HOST, name: bridge.name, set: settings, why };
}

function createSteps(bridge: Bridge): Step[] {
  const [first] = bridge.addresses;
  const mac = first === undefined ? macOfName(bridge.name) : macOfAddress(first.address);
  return [
    {
      op: "link.add",
      netns: HOST,
      // A given MAC stays: otherwise the bridge takes the lowest of its ports' and connections die (cni#285).
      link: {
        kind: "bridge",
        name: bridge.name,
        mac,
        // 68 bytes are the least that the kernel takes (ETH_MIN_MTU).
        mtu: bridge.mtu > 68 ? bridge.mtu - 1 : bridge.mtu + 1,
        ...(bridge.vlanFiltering === true ? { vlanFiltering: true } : {}),
      },
      why: "the bridge of this node's pods",
    },
    // Changed, not given at birth: only then it counts as set by the user (BROPT_MTU_SET_BY_USER, net/bridge/br_if.c).
    set(bridge, { mtu: bridge.mtu }, "an MTU that stays, whatever its ports have"),
    ...gatewaySysctls(bridge.name),
  ];
}

/** IPv6 settings of a new link that carries gateway addresses. */
export function gatewaySysctls(dev: string): Step[] {
  const conf = `net/ipv6/conf/${dev}`;
  return [
    {
      op: "sysctl.set",
      netns: HOST,
      key: `${conf}/accept_ra`,
      value: "0",
      optional: true,
      why: "pods must not be able to give routes to the node (CVE-2020-10749)",
    },
    {
      op: "sysctl.set",
      netns: HOST,
      key: `${conf}/accept_dad`,
      value: "0",
      optional: true,
      why: "the gateway address is ours by configuration: no wait",
    },
  ];
}

/** The steps that give a link its gateway addresses. Throws {@link BridgeConflict}. */
export function addressSteps(
  bridge: Pick<Bridge, "name" | "addresses" | "forceAddress">,
  observed: readonly ObservedAddress[],
): Step[] {
  const steps: Step[] = [];
  for (const wanted of bridge.addresses) {
    if (observed.some(({ prefix }) => isSamePrefix(prefix, wanted))) continue;
    const contrary = observed.filter(({ prefix, linkLocal }) => !linkLocal && overlaps(prefix, wanted));
    const [other] = contrary;
    if (other !== undefined && !bridge.forceAddress) {
      throw new BridgeConflict(
        `"${bridge.name}" already has an IP address different from ${formatPrefix(wanted)}: it has ${formatPrefix(other.prefix)}`,
      );
    }
    for (const { prefix } of contrary) {
      steps.push({
        op: "addr.del",
        netns: HOST,
        dev: bridge.name,
        prefix,
        why: "forceAddress: another gateway address",
      });
    }
    const nodad = wanted.address.family === 6;
    steps.push({
      op: "addr.replace",
      netns: HOST,
      dev: bridge.name,
      prefix: wanted,
      nodad,
      why: "the gateway address",
    });
  }
  return steps;
}

/** What forwarding looks like now: file contents, and links whose IPv6 default route came by router advertisement. */
export interface ForwardingFacts {
  readonly v4: string | null;
  readonly v6: string | null;
  readonly raDefaultLinks: readonly string[];
}

/**
 * Forwarding on for the families that have a gateway. With IPv6 forwarding on, a link with accept_ra=1 ignores router
 * advertisements and the host loses its default route (k3s#5019): such links get accept_ra=2 first.
 */
export function planForwarding(families: ReadonlySet<4 | 6>, facts: ForwardingFacts): Plan {
  const on = (key: string, value: string, why: string): Step => ({
    op: "sysctl.set",
    netns: HOST,
    key,
    value,
    optional: false,
    why,
  });
  const steps: Step[] = [];
  if (families.has(4) && facts.v4?.trim() !== "1")
    steps.push(on("net/ipv4/ip_forward", "1", "the node forwards for its pods"));
  if (families.has(6) && facts.v6 !== null && facts.v6.trim() !== "1") {
    for (const link of facts.raDefaultLinks) {
      steps.push(
        on(`net/ipv6/conf/${link}/accept_ra`, "2", "keep the default route learned by router advertisement"),
      );
    }
    steps.push(on("net/ipv6/conf/all/forwarding", "1", "the node forwards for its pods"));
  }
  return steps;
}

/** Links with a default route by router advertisement (RTF_ADDRCONF 0x40000), from the text of /proc/net/ipv6_route. */
export function parseRaDefaultLinks(text: string): string[] {
  const links = text.split("\n").flatMap((line) => {
    const [dst, length, , , , , , , flags, link] = line.trim().split(/\s+/);
    const isDefault = dst !== undefined && /^0+$/.test(dst) && length === "00";
    return isDefault && link !== undefined && (Number.parseInt(flags ?? "0", 16) & 0x40000) !== 0
      ? [link]
      : [];
  });
  return [...new Set(links)].filter((link) => link !== "lo");
}
