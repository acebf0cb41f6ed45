import { gatewayLinkName, gatewayPortName, interfaceNameFault } from "../net/ifname.ts";
import { macOfAddress, macOfName } from "../net/mac.ts";
import type { Prefix } from "../net/prefix.ts";
import type { ObservedAddress, ObservedLink } from "../plan/state.ts";
import { HOST, type LinkSettings, type Plan, type Step } from "../plan/step.ts";
import { MIN_IPV6_MTU } from "./attachment.ts";
import { addressSteps, BridgeConflict, checkKind, gatewaySysctls } from "./bridge.ts";
import { portVlanSteps } from "./vlan.ts";

/**
 * The gateway of one VLAN as it should be: a veth pair, one end a port of the bridge in that VLAN, the other with the
 * addresses. On the bridge itself they would be reached by the default VLAN only.
 */
export interface VlanGateway {
  readonly bridge: string;
  /** 1–4094. */
  readonly vlan: number;
  /** Bytes; set at creation only. */
  readonly mtu: number;
  readonly addresses: readonly Prefix[];
  /** Replace a wrong address instead of refusing. */
  readonly forceAddress: boolean;
  readonly preserveDefaultVlan: boolean;
}

/** What is there of it: the bridge, the link with the addresses, its other end, and the addresses. */
export interface VlanGatewayFacts {
  readonly bridge: ObservedLink | null;
  readonly link: ObservedLink | null;
  readonly port: ObservedLink | null;
  readonly addresses: readonly ObservedAddress[];
}

/** The link that carries the gateway addresses of pods in this VLAN; null or 0: pods without one, so the bridge. */
export function gatewayDevice(bridge: string, vlan: number | null): string {
  return vlan === null || vlan === 0 ? bridge : gatewayLinkName(bridge, vlan);
}

/**
 * What has to change for a VLAN's gateway to be as desired; empty when it is. Runs behind the plan of the bridge. No
 * step has an undo: the gateway is shared by all pods of the VLAN. Throws {@link BridgeConflict}.
 */
export function planVlanGateway(wish: VlanGateway, facts: VlanGatewayFacts): Plan {
  const name = gatewayLinkName(wish.bridge, wish.vlan);
  const portName = gatewayPortName(wish.bridge, wish.vlan);
  const fault = interfaceNameFault(name);
  if (fault !== null) {
    throw new BridgeConflict(`"${name}", the gateway of vlan ${wish.vlan} on "${wish.bridge}": ${fault}`);
  }
  const { bridge, link, port, addresses } = facts;
  checkKind(name, "veth", link);
  checkKind(portName, "veth", port);
  // The port goes up last, so that up means that its VLANs are set.
  const isPort = port?.up === true && bridge !== null && port.masterIndex === bridge.index;
  return [
    ...(link === null ? createSteps(wish, name, portName) : []),
    ...(link !== null && isPort ? [] : portSteps(wish, portName)),
    ...addressSteps({ ...wish, name }, addresses),
    ...(link?.up === true ? [] : [set(name, { up: true }, "the gateway of the VLAN up")]),
  ];
}

function set(name: string, settings: LinkSettings, why: string): Step {
  return { op: "link.set", netns: HOST, name, set: settings, why };
}

function createSteps({ mtu, addresses }: VlanGateway, name: string, portName: string): Step[] {
  const [first] = addresses;
  const mac = first === undefined ? macOfName(name) : macOfAddress(first.address);
  const peer = { name: portName, mac: macOfName(portName), mtu, netns: HOST };
  return [
    {
      op: "link.add",
      netns: HOST,
      link: { kind: "veth", name, mac, mtu, peer },
      why: "the gateway of the VLAN, and its port of the bridge",
      isAtomic: true,
    },
    ...gatewaySysctls(name),
  ];
}

function portSteps({ bridge, vlan, preserveDefaultVlan, mtu }: VlanGateway, portName: string): Step[] {
  return [
    set(
      portName,
      { master: bridge, ...(mtu < MIN_IPV6_MTU ? {} : { addrgenmode: "none" as const }) },
      "the gateway's port into the bridge",
    ),
    ...portVlanSteps(portName, { vlan, trunk: [], preserveDefaultVlan }),
    set(portName, { up: true }, "the gateway's port up"),
  ];
}
