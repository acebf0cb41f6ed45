import { type Address, formatAddress, isSameAddress } from "../net/address.ts";
import { type HostPort, ownAddress, PROTOCOL_NUMBERS } from "../net/host-port.ts";
import { CTA, type Flow, forgetFlows, trackedConnections } from "./conntrack.ts";

/** A port of the node, and where it leads to now. */
export interface PortTarget {
  readonly port: HostPort;
  readonly address: Address;
}

/**
 * Forgets the tracked connections to these ports of the node that lead elsewhere: to a pod that had the port before, or to
 * the node itself from when nobody had it. Without, a client that goes on sending keeps such an entry alive for ever, and
 * rules are looked at only for new ones (k8s#59033, plugins#123). Of TCP, those alone that were translated: another one
 * is a program's own connection. `own`: the node's addresses. Returns how many went.
 */
export function flushPortFlows(targets: readonly PortTarget[], own: readonly Address[]): number {
  if (targets.length === 0 || trackedConnections() === 0) return 0;
  const locals = new Set(own.map(formatAddress));
  const patterns = targets.map(({ port: { hostPort } }) =>
    Uint8Array.of(6, 0, CTA.destinationPort, 0, hostPort >> 8, hostPort & 255),
  );
  const isStale = (flow: Flow) => targets.some((target) => leadsElsewhere(flow, target, locals));
  return forgetFlows((bytes) => patterns.some((pattern) => bytes.includes(pattern)), isStale);
}

/** Whether a flow is to this port of the node, and does not come to where it leads now. `locals`: the node's addresses. */
export function leadsElsewhere(
  flow: Flow,
  { port, address }: PortTarget,
  locals: ReadonlySet<string>,
): boolean {
  const { original, reply, protocol } = flow;
  if (protocol !== PROTOCOL_NUMBERS[port.protocol] || original.destinationPort !== port.hostPort)
    return false;
  if (original.destination.family !== address.family) return false;
  const hostIp = ownAddress(port);
  const isForPort =
    hostIp === null
      ? locals.has(formatAddress(original.destination))
      : isSameAddress(hostIp, original.destination);
  if (!isForPort) return false;
  if (isSameAddress(reply.source, address) && reply.sourcePort === port.containerPort) return false;
  return port.protocol !== "tcp" || !isSameAddress(reply.source, original.destination);
}
