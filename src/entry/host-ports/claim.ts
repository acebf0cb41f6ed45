import type { NetConf } from "../../cni/config.ts";
import { CNI_CODE, CniError } from "../../cni/errors.ts";
import { type HostPortBackend, parsePortMappings } from "../../cni/port-mappings.ts";
import type { HostPortLedger, KeptClaim } from "../../host/host-port-claims.ts";
import type { Host } from "../../host/machine.ts";
import type { Allocation } from "../../ipam/allocate.ts";
import type { AttachmentKey } from "../../ipam/reservation.ts";
import { type Address, FAMILIES, formatAddress, isSameAddress } from "../../net/address.ts";
import {
  collides,
  formatHostPort,
  type HostPort,
  type HostPortOptions,
  isOfFamily,
  ownAddress,
} from "../../net/host-port.ts";
import { chooseBackend } from "./backend.ts";
import { changeLedger, isAlive, isOf, joinPlaces, placesOf } from "./ledger.ts";

/** What a call asks for, before its pod has addresses. */
export type AskedPorts = Pick<KeptClaim, "ports" | "options" | "backend">;

/**
 * The host ports that a configuration asks for, made as `options` and `backend` say (null: none is configured). What is
 * wrong about them is refused here, before anything is made. Throws code 7, or 11 without a program that could make them.
 */
export function readAskedPorts(
  conf: NetConf,
  options: HostPortOptions,
  backend: HostPortBackend | null,
  host: Host,
): AskedPorts {
  const ports = parsePortMappings(conf);
  refuseForeignAddresses(ports, host);
  // Who names 127.0.0.1 asks for it.
  const localhost = options.localhost || ports.some(({ hostIp }) => hostIp !== null && isLoopback(hostIp));
  return { ports, options: { ...options, localhost }, backend: chooseBackend(backend, host) };
}

function refuseForeignAddresses(ports: readonly HostPort[], host: Host): void {
  const asked = ports.flatMap((port) => ownAddress(port) ?? []);
  if (asked.length === 0) return;
  const own = host.ownAddresses();
  for (const hostIp of asked) {
    if (isLoopback(hostIp)) {
      if (hostIp.family === 4) continue;
      refuse(
        "hostIP ::1 leads to no pod",
        "the kernel routes nothing from or to it; wanted: 127.0.0.1, or another",
      );
    }
    if (own.some((address) => isSameAddress(address, hostIp))) continue;
    const there = own.filter((address) => !isLoopback(address)).map(formatAddress);
    refuse(
      `hostIP ${formatAddress(hostIp)} is no address of this node`,
      `it has ${there.join(", ") || "none"}; wanted: one of these, or no hostIP`,
    );
  }
}

function isLoopback({ family, value }: Address): boolean {
  return family === 4 ? value >> 24n === 127n : value === 1n;
}

function refuse(message: string, details: string): never {
  throw new CniError(CNI_CODE.invalidConfig, message, details);
}

/** The claim of an attachment that has its addresses. Throws code 7 when a port has none of its family to lead to. */
export function describeClaim(
  asked: AskedPorts,
  key: AttachmentKey,
  bridge: string,
  addresses: readonly Allocation[],
): KeptClaim {
  const targets = FAMILIES.flatMap((family) => {
    const first = addresses.find(({ prefix }) => prefix.address.family === family);
    return first === undefined ? [] : [first.prefix];
  });
  for (const port of asked.ports) {
    if (targets.some(({ address }) => isOfFamily(port, address.family))) continue;
    const family = port.hostIp === null ? "" : ` of IPv${port.hostIp.family}`;
    const found = targets.map(({ address }) => formatAddress(address)).join(", ") || "none";
    refuse(
      `host port ${formatHostPort(port)}: the pod has no address${family}`,
      `it has ${found}; wanted: a hostIP of its family, or none`,
    );
  }
  const { network, containerId, ifname } = key;
  return { network, containerId, ifname, bridge, targets, ...asked };
}

/**
 * Makes the ports the attachment's own, in the books only. Throws code 11 when another attachment has one of them, whose
 * pod may be about to end; one that is gone without a word has none any more.
 */
export async function claimPorts(claim: KeptClaim, stateDir: string, host: Host): Promise<void> {
  await changeLedger(stateDir, host, (ledger) => withClaim(ledger, claim, stateDir, host));
}

/** The ledger with this claim in it. Throws as {@link claimPorts}. */
export function withClaim(
  ledger: HostPortLedger,
  claim: KeptClaim,
  stateDir: string,
  host: Host,
): HostPortLedger {
  return {
    variant: ledger.variant,
    places: joinPlaces(ledger.places, placesOf([claim])),
    claims: [...withoutTaken(ledger.claims, claim, stateDir, host), claim],
  };
}

/** The claims of others beside this one; refuses where a live attachment has one of its ports. */
function withoutTaken(
  claims: readonly KeptClaim[],
  claim: KeptClaim,
  stateDir: string,
  host: Host,
): KeptClaim[] {
  return claims.filter((other) => {
    if (isOf(other, claim)) return false;
    for (const port of claim.ports) {
      const taken = other.ports.find((one) => collides(one, port));
      if (taken === undefined) continue;
      if (!isAlive(other, stateDir, host)) return false;
      throw describeTaken(port, taken, other);
    }
    return true;
  });
}

function describeTaken(
  port: HostPort,
  taken: HostPort,
  { network, containerId, ifname, targets }: KeptClaim,
): CniError {
  const pod = targets.map(({ address }) => formatAddress(address)).join(", ");
  return new CniError(
    CNI_CODE.tryAgainLater,
    `host port ${formatHostPort(port)} is held by ${containerId} ${ifname} of network ${network}`,
    `as ${formatHostPort(taken)} to ${pod} port ${taken.containerPort}; wait for its end, or choose another port`,
  );
}
