import { hasNoAddresses } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import { parseResult } from "../cni/prev.ts";
import { checkArgs } from "../cni/request.ts";
import type { Result, ResultRoute } from "../cni/result.ts";
import { messageOf } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { type AttachmentRecord, readRecord } from "../host/records.ts";
import { observeSandbox, type SandboxState } from "../host/sandbox.ts";
import { type Address, formatAddress, isSameAddress, parseAddress } from "../net/address.ts";
import { hostVethName } from "../net/ifname.ts";
import { formatPrefix, networkOf } from "../net/prefix.ts";
import type { ObservedLink } from "../plan/state.ts";
import { gatewayDevice } from "../topology/vlan-gateway.ts";
import { addressSource } from "./addresses.ts";
import { attachmentLock, type Call, formatKey } from "./call.ts";
import { shapingFaults, tuningFaults } from "./check-links.ts";
import { isGateway } from "./desired.ts";
import { loadHostPorts } from "./host-ports/when-asked.ts";
import { masqueradeFaults } from "./masquerade.ts";
import { spoofFaults } from "./spoof.ts";

/**
 * CHECK: the attachment as prevResult and our own record tell it, against kernel, rules and store. Passes in silence;
 * else throws with every difference, actual against wanted, in the details. What later plugins of the list changed and
 * said so in prevResult, or added, is none of ours.
 */
export async function check(call: Call, host: Host): Promise<void> {
  const { conf, environment, key } = call;
  checkArgs(environment);
  const prev = readPrevResult(call);
  const work = async () => {
    const record = readRecord(host, conf.stateDir, key);
    const state = await observeSandbox(host, environment.netns, environment.ifname);
    const faults = [
      ...hostFaults(call, record, prev, host),
      ...sandboxFaults(call, record, prev, state, host),
      ...(record === null ? [] : await tuningFaults(state.link, record, environment.netns, host)),
      ...(await ruleFaults(call, record, host)),
    ];
    try {
      if (!hasNoAddresses(conf.raw)) {
        await addressSource(call, host, record).check(reservedOf(call, record, prev));
      }
    } catch (error) {
      if (faults.length === 0) throw error;
      faults.push(messageOf(error));
    }
    if (faults.length > 0) {
      const message = `attachment ${key.containerId} ${key.ifname} is not as it was made: ${faults[0]}`;
      throw new CniError(CNI_CODE.internal, message, faults.join("; "));
    }
  };
  await host.withAttachmentLock(attachmentLock(conf), formatKey(key), work, { isOptional: true });
}

/** The result that CHECK needs. Throws code 7 without one (SPEC §2 "CHECK"). */
export function readPrevResult({ conf }: Call): Result {
  const prev = parseResult(conf.raw.prevResult, conf.cniVersion, "prevResult");
  if (prev !== null) return prev;
  const details = "the runtime must pass ADD's result";
  throw new CniError(CNI_CODE.invalidConfig, "Required prevResult missing", details);
}

/** Our interface of prevResult by its index; −1 when it has none. */
function ownIndex({ environment }: Call, prev: Result): number {
  return prev.interfaces.findIndex(({ name, sandbox }) => name === environment.ifname && sandbox !== "");
}

function ownIps(call: Call, prev: Result) {
  const index = ownIndex(call, prev);
  return prev.ips.filter((ip) => ip.interface === null || ip.interface === index);
}

function reservedOf(call: Call, record: AttachmentRecord | null, prev: Result): Address[] {
  if (record?.phase === "complete") return record.addresses.flatMap((text) => parseAddress(text) ?? []);
  return ownIps(call, prev).map(({ address }) => address.address);
}

function hostFaults(call: Call, record: AttachmentRecord | null, prev: Result, host: Host): string[] {
  const { key, conf, environment } = call;
  const ips = ownIps(call, prev);
  const name = hostVethName(key.network, key.containerId, key.ifname);
  const bridge = host.link(conf.bridge);
  const veth = host.link(name);
  if (bridge === null) return [`bridge ${conf.bridge} is missing`];
  if (bridge.kind !== "bridge") return [`${conf.bridge} is ${bridge.kind}, wanted a bridge`];
  if (veth === null) return [`host-side veth ${name} of ${environment.ifname} is missing`];
  const mac = prev.interfaces.find((link) => link.name === name)?.mac || record?.hostMac;
  const mtu = record?.mtu || veth.mtu;
  return [
    ...(bridge.up ? [] : [`bridge ${conf.bridge} is down, wanted up`]),
    ...(conf.raw.promiscMode === true && !bridge.promisc ? [`bridge ${bridge.name} is not promiscuous`] : []),
    ...bridgeMacFaults(prev, bridge),
    ...(veth.up ? [] : [`host-side veth ${name} is down, wanted up`]),
    ...(veth.masterIndex === bridge.index ? [] : [`host-side veth ${name} is not a port of ${conf.bridge}`]),
    ...(mac && mac !== veth.mac ? [`host-side veth ${name} has MAC ${veth.mac}, wanted ${mac}`] : []),
    ...(mtu === veth.mtu ? [] : [`host-side veth ${name} has MTU ${veth.mtu}, wanted ${mtu}`]),
    ...(record === null ? [] : [...portFaults(veth, record), ...shapingFaults(veth, record, host)]),
    ...(isGateway(conf) ? gatewayFaults(ips, conf.bridge, record, host) : []),
  ];
}

function portFaults(veth: ObservedLink, record: AttachmentRecord): string[] {
  const flags = ["hairpin", "isolated"] as const;
  return flags
    .filter((flag) => veth[flag] !== null && veth[flag] !== record[flag])
    .map((flag) => `port flag ${flag} of ${veth.name} is ${veth[flag]}, wanted ${record[flag]}`);
}

function bridgeMacFaults(prev: Result, { name, mac }: ObservedLink): string[] {
  const told = prev.interfaces.find((link) => link.name === name && link.sandbox === "")?.mac;
  return told && told !== mac ? [`bridge ${name} has MAC ${mac}, wanted ${told}`] : [];
}

function gatewayFaults(
  ips: Result["ips"],
  bridge: string,
  record: AttachmentRecord | null,
  host: Host,
): string[] {
  const device = gatewayDevice(bridge, record?.vlan ?? null);
  const link = host.link(device);
  const found =
    link === null ? [] : host.addresses(link.index).map(({ prefix }) => formatAddress(prefix.address));
  return ips
    .flatMap(({ gateway }) => (gateway === null ? [] : [formatAddress(gateway)]))
    .filter((gateway) => !found.includes(gateway))
    .map((gateway) => `gateway ${gateway} is not on ${device} (it has ${found.join(", ") || "none"})`);
}

function sandboxFaults(
  call: Call,
  record: AttachmentRecord | null,
  prev: Result,
  state: SandboxState,
  host: Host,
): string[] {
  const { conf, environment } = call;
  const { ifname, netns } = environment;
  const { link } = state;
  if (link === null) return [`${ifname} is missing in ${netns}`];
  const own = prev.interfaces[ownIndex(call, prev)];
  if (own === undefined) return [`prevResult names no interface ${ifname} in a sandbox`];
  return [
    ...(link.up || conf.raw.disableContainerInterface === true ? [] : [`${ifname} is down, wanted up`]),
    ...(own.mac !== "" && own.mac !== link.mac ? [`${ifname} has MAC ${link.mac}, wanted ${own.mac}`] : []),
    ...(isTuned(call, host) ? [] : mtuFaults(ifname, link.mtu, own.mtu ?? null, record?.mtu || null)),
    ...ownIps(call, prev)
      .map(({ address }) => formatPrefix(address))
      .filter((address) => !state.addresses.includes(address))
      .map((address) => `${ifname} lacks ${address} (it has ${state.addresses.join(", ") || "none"})`),
    ...prev.routes
      // Routes of other plugins of the list may lead by other links.
      .filter(({ dst }) => record === null || record.routes.includes(formatPrefix(networkOf(dst))))
      .flatMap((route) => routeFaults(route, state, netns, prev)),
  ];
}

function routeFaults({ dst, gw }: ResultRoute, state: SandboxState, netns: string, prev: Result): string[] {
  const text = formatPrefix(networkOf(dst));
  const there = state.routes.filter((route) => route.dst === text);
  if (there.length === 0) return [`route ${text} is missing in ${netns}`];
  const via = gw === null ? null : formatAddress(gw);
  // A gateway that is the pod itself stands for an on-link route.
  const isOwn = gw !== null && prev.ips.some(({ address }) => isSameAddress(address.address, gw));
  if (via === null || isOwn || there.some((route) => route.via === via)) return [];
  const found = there.map((route) => route.via ?? "on-link").join(", ");
  return [`route ${text} in ${netns} leads by ${found}, wanted ${via}`];
}

/**
 * Before 1.1.0 a result does not tell the MTU, so that a later plugin may have lowered it unseen; one higher than the
 * host's end loses packets whoever set it. The agent follows the node network and tells the record, not the runtime.
 */
function mtuFaults(ifname: string, actual: number, told: number | null, made: number | null): string[] {
  const isWrong = told === null ? made !== null && actual > made : actual !== told && actual !== made;
  return isWrong ? [`${ifname} has MTU ${actual}, wanted ${told ?? made}`] : [];
}

/**
 * The tuning plugin sets the MTU behind us and does not say so in the result; what it replaced is in its backup file.
 */
function isTuned({ key }: Call, host: Host): boolean {
  const backup = host.readFile(`/run/cni/tuning/${key.containerId}_${key.ifname}.json`);
  return backup?.includes('"mtu"') ?? false;
}

async function ruleFaults(
  { conf, key }: Call,
  record: AttachmentRecord | null,
  host: Host,
): Promise<string[]> {
  if (record === null) return [];
  const hostVeth = hostVethName(key.network, key.containerId, key.ifname);
  return [
    ...(record.masquerade === null ? [] : await masqueradeFaults(conf, record.masquerade, host)),
    ...(record.spoofCheck ? await spoofFaults(conf, { hostVeth, mac: record.podMac }, host) : []),
    ...(record.vlan === null ? [] : await vlanFaults(hostVeth, record.vlan, host)),
    ...(record.hostPorts === null
      ? []
      : await (await loadHostPorts()).portRuleFaults(key, conf.stateDir, host)),
  ];
}

async function vlanFaults(hostVeth: string, vlan: number, host: Host): Promise<string[]> {
  const { stdout } = await host.spawn({ argv: ["bridge", "-j", "vlan", "show", "dev", hostVeth] });
  const isMember = new RegExp(`"vlan":${vlan}\\b[^}]*"PVID"`).test(stdout);
  return isMember ? [] : [`port ${hostVeth} is not in VLAN ${vlan} (it has ${stdout.trim() || "none"})`];
}
