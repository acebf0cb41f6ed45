import type { ResultRoute } from "../cni/result.ts";
import type { Tuning } from "../cni/tuning.ts";
import type { Allocation } from "../ipam/allocate.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { hostVethName, isIfbName } from "../net/ifname.ts";
import { macOfAddress, macOfName } from "../net/mac.ts";
import { isSamePrefix, type Prefix } from "../net/prefix.ts";
import { HOST, type LinkSettings, type NetnsPath, type Plan, type Step } from "../plan/step.ts";
import { vethAlias } from "./alias.ts";
import { type Limits, planIfbRemoval, type ShapedPort, shapingSteps, UNLIMITED } from "./bandwidth.ts";
import { podSteps } from "./pod.ts";
import { tuningSteps } from "./tuning.ts";
import { type PortVlans, portVlanSteps } from "./vlan.ts";

export { parseVethAlias, vethAlias } from "./alias.ts";

/** A route as the configuration gives it; without `gw` it goes by the gateway of its family. */
export type PodRoute = ResultRoute;

/** What the configuration says about the links of an attachment. */
export interface AttachmentOptions {
  readonly bridge: string;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly defaultRoute: boolean;
  readonly enableDad: boolean;
  /** The pod's end stays down and gets no addresses (`disableContainerInterface`: a VM runs its own stack on it). */
  readonly podDown: boolean;
  /** This kernel runs without IPv6; absent: it does not. */
  readonly withoutIpv6?: boolean;
  /** Bytes. */
  readonly mtu: number;
  /** The pod-side MAC that was asked for. */
  readonly mac: string | null;
  readonly routes: readonly PodRoute[];
  /** The VLAN of what the pod sends untagged; absent, null or 0: none. */
  readonly vlan?: number | null;
  /** VLANs that the pod sends tagged, sorted and distinct; absent: none. */
  readonly trunk?: readonly number[];
  /** Keep the port in the bridge's default VLAN beside its own; absent: no. */
  readonly preserveDefaultVlan?: boolean;
  /** The link that carries the gateway addresses; absent or null: this host is no gateway of the pod. */
  readonly gatewayDevice?: string | null;
  /** Bytes, where the bridge's is another than `mtu`. */
  readonly bridgeMtu?: number;
  /** How fast the pod may receive and send; absent: no limit. */
  readonly limits?: Limits;
  /** What else is set in the sandbox; absent or null: nothing. */
  readonly tuning?: Tuning | null;
}

/** What should be: one attachment's links, addresses and routes. */
export interface Attachment extends PortVlans, ShapedPort {
  readonly key: AttachmentKey;
  readonly netns: NetnsPath;
  readonly bridge: string;
  readonly hostVeth: string;
  readonly hostMac: string;
  readonly podMac: string;
  readonly mtu: number;
  /** MTU of the bridge, should this attachment make it; in bytes. */
  readonly bridgeMtu: number;
  readonly addresses: readonly Allocation[];
  /** Routes of the result, in order: the configured ones, then the default routes that were missing. */
  readonly routes: readonly PodRoute[];
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly enableDad: boolean;
  /** The pod's end stays down and gets no addresses (`disableContainerInterface`: a VM runs its own stack on it). */
  readonly podDown: boolean;
  /** The link that carries the gateway addresses; null: this host is no gateway of the pod. */
  readonly gatewayDevice: string | null;
  readonly withoutIpv6: boolean;
  readonly tuning: Tuning | null;
}

/** The desired state of an attachment. Pure: the same arguments give the same names and MACs on every call. */
export function describeAttachment(
  key: AttachmentKey,
  netns: NetnsPath,
  addresses: readonly Allocation[],
  options: AttachmentOptions,
): Attachment {
  const hostVeth = hostVethName(key.network, key.containerId, key.ifname);
  const [first] = addresses;
  const podMac =
    options.mac ?? (first === undefined ? macOfName(`${hostVeth}/pod`) : macOfAddress(first.prefix.address));
  return {
    key,
    netns,
    bridge: options.bridge,
    hostVeth,
    hostMac: macOfName(hostVeth),
    podMac,
    mtu: options.mtu,
    bridgeMtu: options.bridgeMtu ?? options.mtu,
    addresses,
    routes: [...options.routes, ...(options.defaultRoute ? missingDefaults(addresses, options.routes) : [])],
    hairpin: options.hairpin,
    isolated: options.isolated,
    enableDad: options.enableDad,
    podDown: options.podDown,
    vlan: options.vlan || null,
    trunk: options.trunk ?? [],
    preserveDefaultVlan: options.preserveDefaultVlan ?? false,
    gatewayDevice: options.gatewayDevice ?? null,
    withoutIpv6: options.withoutIpv6 ?? false,
    ...(options.limits ?? UNLIMITED),
    tuning: options.tuning ?? null,
  };
}

/** One default route for each family that has an address and no default route of its own; on-link without gateway. */
function missingDefaults(addresses: readonly Allocation[], routes: readonly PodRoute[]): PodRoute[] {
  const defaults: PodRoute[] = [];
  for (const { prefix, gateway } of addresses) {
    const dst: Prefix = { address: { family: prefix.address.family, value: 0n }, length: 0 };
    if ([...routes, ...defaults].some((route) => isSamePrefix(route.dst, dst))) continue;
    defaults.push({ dst, gw: gateway });
  }
  return defaults;
}

/** The plan that makes an attachment on a bridge that is there: host side first, then inside the sandbox. */
export function planAttach(attachment: Attachment): Plan {
  const { key, netns, tuning } = attachment;
  const tuned = tuningSteps({ netns, ifname: key.ifname, tuning });
  const pod = attachment.podDown ? tuned : podSteps(attachment, tuned);
  const noAdvertisements: Step = {
    op: "sysctl.set",
    netns: HOST,
    key: `net/ipv6/conf/${attachment.hostVeth}/accept_ra`,
    value: "0",
    optional: true,
    why: "a pod must not be able to give routes to the node (CVE-2020-10749)",
  };
  return [
    ...hostSteps(attachment),
    ...neighbourSteps(attachment),
    noAdvertisements,
    ...pod,
    portUpStep(attachment),
  ];
}

function setHostVeth({ hostVeth }: Attachment, set: LinkSettings, why: string): Step {
  return { op: "link.set", netns: HOST, name: hostVeth, set, why };
}

/**
 * Behind the pod's end: with a carrier at once, the bridge opens the port while it comes up (br_device_event, NETDEV_UP),
 * and not by a work queue some time later. Before, a frame could pass where VLAN or isolation forbid it.
 */
function portUpStep(attachment: Attachment): Step {
  const { hairpin, isolated } = attachment;
  const why = hairpin
    ? "up, with hairpin: a pod reaches itself through a Service"
    : "up, with its port flags";
  return setHostVeth(attachment, { up: true, port: { hairpin, ...(isolated ? { isolated } : {}) } }, why);
}

function hostSteps(attachment: Attachment): Step[] {
  const { hostVeth, hostMac, podMac, mtu, key, netns, bridge } = attachment;
  const alias = vethAlias(key);
  const settings = { ...noLinkLocal(attachment), ...(alias === null ? {} : { alias }) };
  const peer = { name: key.ifname, mac: podMac, mtu, netns };
  return [
    {
      op: "link.add",
      netns: HOST,
      // Both MACs are given at birth: udev's MACAddressPolicy leaves those alone (systemd#3374).
      link: { kind: "veth", name: hostVeth, mac: hostMac, mtu, peer },
      why: "veth pair, the pod's end born in its namespace",
      undo: { op: "link.del", name: hostVeth },
      isAtomic: true,
    },
    setHostVeth(attachment, { master: bridge, ...settings }, "host end into the bridge"),
    ...portVlanSteps(hostVeth, attachment),
    ...shapingSteps(attachment, settings),
  ];
}

/** RFC 8200 §5: a link of fewer bytes carries no IPv6, and the kernel refuses its settings there (EAFNOSUPPORT). */
export const MIN_IPV6_MTU = 1280;

function noLinkLocal({ mtu, withoutIpv6 }: Attachment): LinkSettings {
  return withoutIpv6 || mtu < MIN_IPV6_MTU ? {} : { addrgenmode: "none" };
}

/**
 * A reused address must not be sent to the MAC of its former owner (plugins#756). The entry is emptied, not filled: a
 * later plugin may give the pod another MAC (tuning).
 */
function neighbourSteps({ gatewayDevice, addresses }: Attachment): Step[] {
  if (gatewayDevice === null) return [];
  return addresses
    .filter(({ gateway }) => gateway !== null)
    .map(({ prefix }) => ({
      op: "neigh.forget",
      netns: HOST,
      dev: gatewayDevice,
      address: prefix.address,
      why: "the gateway asks for the pod's MAC, whoever had the address before",
    }));
}

/** The plan that removes an attachment: the host end takes the pod's end, its addresses and routes with it. */
export function planDetach(hostVeth: string): Plan {
  return [{ op: "link.del", netns: HOST, name: hostVeth, why: "the veth pair, with all that hangs on it" }];
}

/** The same of any number of links: host ends, and the ifbs of what was sent to them. */
export function planLinksRemoval(names: readonly string[]): Plan {
  return names.flatMap((name) => (isIfbName(name) ? planIfbRemoval(name) : planDetach(name)));
}
