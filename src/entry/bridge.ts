import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import type { Address } from "../net/address.ts";
import { gatewayLinkName, gatewayPortName } from "../net/ifname.ts";
import type { Prefix } from "../net/prefix.ts";
import type { ObservedLink } from "../plan/state.ts";
import type { Plan } from "../plan/step.ts";
import type { Attachment } from "../topology/attachment.ts";
import { type Bridge, gatewayPrefixes, planBridge } from "../topology/bridge.ts";
import { usesVlans } from "../topology/vlan.ts";
import { gatewayDevice, planVlanGateway } from "../topology/vlan-gateway.ts";
import { isGateway } from "./desired.ts";
import { planMissingForwarding } from "./forwarding.ts";

/** The bridge as an ADD wants it; `gateways` empty when it is no gateway. */
export interface BridgeWish {
  readonly name: string;
  readonly mtu: number;
  readonly promisc: boolean;
  readonly forceAddress: boolean;
  readonly gateways: readonly { readonly prefix: Prefix; readonly gateway: Address }[];
  readonly vlanFiltering: boolean;
  /** The VLAN of the gateway; null: it is on the bridge itself. */
  readonly vlan: number | null;
  readonly preserveDefaultVlan: boolean;
  readonly stateDir: string;
}

/** In milliseconds; the making of a bridge takes far less. */
export const LOCK_TIMEOUT_MS = 30_000;

/** The lock of the bridge of whoever keeps state in this folder. */
export function bridgeLock(stateDir: string): string {
  return `${stateDir}/bridge.lock`;
}

/** The bridge that an attachment needs, for the ADD that makes it and for the plan that is only printed. */
export function bridgeWish(conf: NetConf, attachment: Attachment): BridgeWish {
  return {
    name: conf.bridge,
    mtu: attachment.bridgeMtu,
    promisc: conf.raw.promiscMode ?? false,
    forceAddress: conf.raw.forceAddress ?? false,
    gateways: isGateway(conf)
      ? attachment.addresses.flatMap(({ prefix, gateway }) => (gateway === null ? [] : [{ prefix, gateway }]))
      : [],
    vlanFiltering: usesVlans(attachment),
    vlan: attachment.vlan,
    preserveDefaultVlan: attachment.preserveDefaultVlan,
    stateDir: conf.stateDir,
  };
}

/** What would have to change for bridge and forwarding to be as wished; empty on every ADD but the first. */
export function planWish(wish: BridgeWish, host: Host, link = host.link(wish.name)): Plan {
  const gateways = wish.gateways.map(({ prefix, gateway }) => ({ gateway, length: prefix.length }));
  const addresses = gatewayPrefixes(gateways);
  const isOnBridge = gatewayDevice(wish.name, wish.vlan) === wish.name;
  const bridge: Bridge = { ...wish, addresses: isOnBridge ? addresses : [] };
  const families = new Set(addresses.map(({ address }) => address.family));
  return [
    ...planBridge(bridge, ...withAddresses(link, host)),
    ...(isOnBridge || addresses.length === 0 ? [] : planGateway(wish, addresses, host)),
    ...planMissingForwarding(families, host),
  ];
}

function withAddresses(link: ObservedLink | null, host: Host) {
  return [link, link === null ? [] : host.addresses(link.index)] as const;
}

function planGateway(wish: BridgeWish, addresses: readonly Prefix[], host: Host): Plan {
  const vlan = wish.vlan ?? 0;
  const [link, observed] = withAddresses(host.link(gatewayLinkName(wish.name, vlan)), host);
  return planVlanGateway(
    { ...wish, bridge: wish.name, vlan, addresses },
    {
      bridge: host.link(wish.name),
      link,
      port: host.link(gatewayPortName(wish.name, vlan)),
      addresses: observed,
    },
  );
}

/**
 * Makes the bridge as wished and returns its MAC and MTU (an older bridge keeps the MTU it has). When nothing has to
 * change (the usual case) no lock is taken and nothing is spawned; else one process at a time looks again and does
 * it, so that 40 first pods make one bridge.
 */
export async function ensureBridge(
  wish: BridgeWish,
  host: Host,
): Promise<{ readonly mac: string; readonly mtu: number }> {
  const found = host.link(wish.name);
  if (found !== null && planWish(wish, host, found).length === 0) return found;
  await host.withLock(bridgeLock(wish.stateDir), LOCK_TIMEOUT_MS, async () => {
    const plan = planWish(wish, host);
    if (plan.length > 0) await host.execute(plan);
  });
  return host.link(wish.name) ?? { mac: "", mtu: wish.mtu };
}
