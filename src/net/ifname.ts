import { hashHex } from "./hash.ts";

/** What every host-side veth of ours begins with: the mark of ownership (DESIGN: "Ownership"). */
export const HOST_VETH_PREFIX = "mcni";

/** Linux IFNAMSIZ is 16 bytes with the closing zero. */
const MAX_BYTES = 15;

/**
 * Why a text can't be an interface name, in the words of the CNI library, or null when it can
 * (`dev_valid_name` in net/core/dev.c: not empty, < 16 bytes, not `.` or `..`, no `/`, `:`, white space).
 */
export function interfaceNameFault(name: string): string | null {
  if (name === "") return "interface name is empty";
  if (new TextEncoder().encode(name).length > MAX_BYTES) return "interface name is too long";
  if (name === "." || name === "..") return "interface name is . or ..";
  if (/[/:\s]/u.test(name)) return "interface name contains / or : or whitespace characters";
  return null;
}

/**
 * Whether a name can also stand in an `ip -batch` line: printable ASCII that neither quotes, escapes nor starts a
 * comment (`#` cuts the line silently), and does not look like an option.
 */
export function isBatchSafe(word: string): boolean {
  return /^[A-Za-z0-9_.+@,=/:][A-Za-z0-9_.+@,=/:-]*$/.test(word);
}

/** The host-side veth of an attachment: prefix + 44 bits of hash, found again by DEL without any record. */
export function hostVethName(network: string, containerId: string, ifname: string): string {
  return HOST_VETH_PREFIX + hashHex(`${network}\n${containerId}\n${ifname}`).slice(0, 11);
}

/** Whether a link's name is that of a host-side veth (a {@link gatewayPortName} is not). */
export function isHostVethName(name: string): boolean {
  return name.startsWith(HOST_VETH_PREFIX) && /^[0-9a-f]{11}$/.test(name.slice(HOST_VETH_PREFIX.length));
}

/** The link that carries a VLAN's gateway addresses, named as the reference bridge plugin does; may be too long. */
export function gatewayLinkName(bridge: string, vlan: number): string {
  return `${bridge}.${vlan}`;
}

/** The other end of that link, a port of the bridge: ours, and no host veth, since `g` is no hex digit. */
export function gatewayPortName(bridge: string, vlan: number): string {
  return `${HOST_VETH_PREFIX}g${hashHex(gatewayLinkName(bridge, vlan)).slice(0, 10)}`;
}

/** The ifb of an attachment whose sending is limited: ours, and no host veth, since `i` is no hex digit. */
export function ifbName(network: string, containerId: string, ifname: string): string {
  return `${HOST_VETH_PREFIX}i${hashHex(`${network}\n${containerId}\n${ifname}`).slice(0, 10)}`;
}

/** Whether a link's name is that of an {@link ifbName}. */
export function isIfbName(name: string): boolean {
  return (
    name.startsWith(`${HOST_VETH_PREFIX}i`) && /^[0-9a-f]{10}$/.test(name.slice(HOST_VETH_PREFIX.length + 1))
  );
}

/** Whether a link's name is that of a link that comes and goes with a pod. */
export function isPodLinkName(name: string): boolean {
  return isHostVethName(name) || isIfbName(name);
}
