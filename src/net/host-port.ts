import { type Address, FAMILIES, type Family, formatAddress, isSameAddress } from "./address.ts";
import type { Prefix } from "./prefix.ts";

/** The protocols of Kubernetes' host ports, in the words of `iptables -p`. */
export const PORT_PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type PortProtocol = (typeof PORT_PROTOCOLS)[number];
/** IANA's numbers of them, as they stand in packets. */
export const PROTOCOL_NUMBERS: Readonly<Record<PortProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** A port of the node that leads to one of a pod. `hostIp` null: each address of the node; `0.0.0.0`, `::`: of one family. */
export interface HostPort {
  readonly protocol: PortProtocol;
  readonly hostIp: Address | null;
  readonly hostPort: number;
  readonly containerPort: number;
}

/** How the host ports of a network are made, by the keys of the portmap plugin. */
export interface HostPortOptions {
  /** Pods reach a pod of their own subnet by the node's port; the answer has to come back through the node. */
  readonly snat: boolean;
  /** Whoever asks, the pod sees an address of the node. */
  readonly masqAll: boolean;
  /** Bit of the packet mark by which what is to be masqueraded is known, 0 to 31. */
  readonly markBit: number;
  /** A chain of another program that marks in our place; null: we mark, and we masquerade. */
  readonly externalSetMarkChain: string | null;
  /** Further words of each rule, by family. */
  readonly conditions: Readonly<Record<Family, readonly string[]>>;
  /** The node's programs reach the ports at 127.0.0.1, too. */
  readonly localhost: boolean;
}

/** What one attachment has of the node's ports. */
export interface HostPortClaim {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly bridge: string;
  readonly ports: readonly HostPort[];
  /** The pod's addresses with the length of their subnet, one of each family at most. */
  readonly targets: readonly Prefix[];
  readonly options: HostPortOptions;
}

/** The one address of the node that a port is for; null: all of its families. */
export function ownAddress({ hostIp }: Pick<HostPort, "hostIp">): Address | null {
  return hostIp === null || hostIp.value === 0n ? null : hostIp;
}

/** Whether a port is one of a family's. */
export function isOfFamily({ hostIp }: HostPort, family: Family): boolean {
  return hostIp === null || hostIp.family === family;
}

/** Whether there is a packet that both would take. */
export function collides(a: HostPort, b: HostPort): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  if (!FAMILIES.some((family) => isOfFamily(a, family) && isOfFamily(b, family))) return false;
  const [one, other] = [ownAddress(a), ownAddress(b)];
  return one === null || other === null || isSameAddress(one, other);
}

/** A host port for people: `tcp 192.0.2.1:8080`; without address: `tcp 8080`. */
export function formatHostPort({ protocol, hostIp, hostPort }: HostPort): string {
  if (hostIp === null) return `${protocol} ${hostPort}`;
  const text = formatAddress(hostIp);
  return `${protocol} ${hostIp.family === 6 ? `[${text}]` : text}:${hostPort}`;
}
