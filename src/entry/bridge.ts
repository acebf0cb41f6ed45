import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import type { Address } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import type { Plan } from "../plan/step.ts";
import type { Attachment } from "../topology/attachment.ts";
import {
  type Bridge,
  gatewayPrefixes,
  parseRaDefaultLinks,
  planBridge,
  planForwarding,
} from "../topology/bridge.ts";
import { isGateway } from "./desired.ts";

/** The bridge as an ADD wants it; `gateways` empty when the bridge is no gateway. */
export interface BridgeWish {
  readonly name: string;
  readonly mtu: number;
  readonly promisc: boolean;
  readonly forceAddress: boolean;
  readonly gateways: readonly { readonly prefix: Prefix; readonly gateway: Address }[];
  readonly stateDir: string;
}

const LOCK_TIMEOUT_MS = 30_000;

/** The bridge that an attachment needs, for the ADD that makes it and for the plan that is only printed. */
export function bridgeWish(conf: NetConf, attachment: Attachment): BridgeWish {
  return {
    name: conf.bridge,
    mtu: attachment.mtu,
    promisc: conf.raw.promiscMode ?? false,
    forceAddress: conf.raw.forceAddress ?? false,
    gateways: isGateway(conf) ? attachment.addresses : [],
    stateDir: conf.stateDir,
  };
}

/** What would have to change for bridge and forwarding to be as wished; empty on every ADD but the first. */
export function planWish(wish: BridgeWish, host: Host): Plan {
  const gateways = wish.gateways.map(({ prefix, gateway }) => ({ gateway, length: prefix.length }));
  const bridge: Bridge = { ...wish, addresses: gatewayPrefixes(gateways) };
  const link = host.link(wish.name);
  const families = new Set(bridge.addresses.map(({ address }) => address.family));
  const v6 = families.has(6) ? host.readFile("/proc/sys/net/ipv6/conf/all/forwarding") : null;
  // The whole IPv6 route table: only read on the one call that is about to switch forwarding on.
  const isV6Off = v6 !== null && v6.trim() !== "1";
  return [
    ...planBridge(bridge, link, link === null ? [] : host.addresses(link.index)),
    ...planForwarding(families, {
      v4: families.has(4) ? host.readFile("/proc/sys/net/ipv4/ip_forward") : null,
      v6,
      raDefaultLinks: isV6Off ? parseRaDefaultLinks(host.readFile("/proc/net/ipv6_route") ?? "") : [],
    }),
  ];
}

/**
 * Makes the bridge as wished and returns its MAC and MTU (an older bridge keeps the MTU it has). When nothing has to
 * change (the usual case) no lock is taken and nothing is spawned; else one process at a time looks again and does it, so that 40 first pods make one bridge.
 */
export function ensureBridge(wish: BridgeWish, host: Host): { readonly mac: string; readonly mtu: number } {
  if (planWish(wish, host).length > 0) {
    host.withLock(`${wish.stateDir}/bridge.lock`, LOCK_TIMEOUT_MS, () => {
      const plan = planWish(wish, host);
      if (plan.length > 0) host.execute(plan);
    });
  }
  return host.link(wish.name) ?? { mac: "", mtu: wish.mtu };
}
