import { hasNoAddresses, isIpamCall, type NetConf, requestedMac } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import { routeNumbers } from "../cni/prev.ts";
import type { Environment } from "../cni/request.ts";
import type { ResultRoute } from "../cni/result.ts";
import type { Dns, RawRoute } from "../cni/schema.ts";
import { isAtLeast } from "../cni/version.ts";
import type { Host } from "../host/machine.ts";
import type { Allocation } from "../ipam/allocate.ts";
import { parseRangeSets, type Range, type RangeSet, type RangeText } from "../ipam/range.ts";
import {
  type Address,
  addOffset,
  FAMILIES,
  type Family,
  formatAddress,
  isSameAddress,
  parseAddress,
} from "../net/address.ts";
import { contains, formatPrefix, networkOf, type Prefix, parsePrefix } from "../net/prefix.ts";
import type { AttachmentOptions } from "../topology/attachment.ts";
import { parseVlanTrunk, VlanError } from "../topology/vlan.ts";
import { gatewayDevice } from "../topology/vlan-gateway.ts";
import { readLimits } from "./bandwidth.ts";
import { findPublished, IPV6_FORWARDING, readNode } from "./node.ts";
import { readTuning } from "./tuning.ts";

/** What a configuration says about addresses, read from its `ipam` section or from what the agent published. */
export interface IpamChoice {
  readonly sets: RangeSet[];
  readonly requested: Address[];
}

/** Range sets and requested addresses. Throws code 7 (bad values) or 11 (nothing published yet). */
export function readIpam(conf: NetConf, environment: Environment, host: Host): IpamChoice {
  if (hasNoAddresses(conf.raw)) return { sets: [], requested: [] };
  const sets = configuredRanges(conf, () => readNode(conf.stateDir, host).podCidrs);
  if (sets.length === 0)
    throw new CniError(CNI_CODE.invalidConfig, "no IP ranges specified", "give ipam.ranges or ipam.subnet");
  refuseManySets(conf, sets);
  if (!isIpamCall(conf)) for (const range of sets.flat()) refuseFarGateway(range);
  return { sets, requested: requestedAddresses(conf, environment) };
}

/** The range sets of a configuration; `published` gives the pod CIDRs where it has none. Throws InvalidRange. */
export function configuredRanges({ raw }: NetConf, published: () => readonly string[]): RangeSet[] {
  const { ipam, runtimeConfig } = raw;
  const old: RangeText[] = ipam?.subnet ? [{ ...ipam, subnet: ipam.subnet }] : [];
  // host-local: ranges of the runtime first, the old top-level form before `ranges`.
  const texts = [
    ...(runtimeConfig?.ipRanges ?? []),
    ...(old.length > 0 ? [old] : []),
    ...(ipam?.ranges ?? []),
  ];
  if (texts.length > 0) return parseRangeSets(texts);
  return parseRangeSets(ipam ? [] : published().map((subnet) => [{ subnet }]));
}

/** As host-local: what `args` and the runtime ask for, together; CNI_ARGS only where `args` is silent (CONVENTIONS.md). */
function requestedAddresses({ raw }: NetConf, environment: Environment): Address[] {
  const fromArgs = raw.args?.cni?.ips ?? environment.args.get("IP")?.split(",") ?? [];
  const wishes = [...fromArgs, ...(raw.runtimeConfig?.ips ?? [])]
    .filter((text) => text !== "")
    .map(parseWish);
  return wishes.filter((wish, index) => wishes.findIndex((other) => isSameAddress(other, wish)) === index);
}

/** A pod on a bridge reaches its gateway by the link alone. */
function refuseFarGateway({ subnet, gateway }: Range): void {
  const isLinkLocal = contains(LINK_LOCAL[gateway.family], gateway);
  if (isLinkLocal || contains(subnet, gateway)) return;
  const message = `gateway ${formatAddress(gateway)} not in network ${formatPrefix(subnet)}`;
  throw new CniError(CNI_CODE.invalidConfig, message, "wanted: one of its addresses, or a link-local one");
}

/** RFC 3927, RFC 4291 §2.5.6. */
const LINK_LOCAL: Readonly<Record<Family, Prefix>> = {
  4: { address: { family: 4, value: 0xa9fe0000n }, length: 16 },
  6: { address: { family: 6, value: 0xfe80n << 112n }, length: 10 },
};

/** Results before 0.3.0 have room for one address a family. */
function refuseManySets({ cniVersion }: NetConf, sets: readonly RangeSet[]): void {
  if (isAtLeast(cniVersion, "0.3.0")) return;
  for (const family of FAMILIES) {
    const count = sets.filter(([range]) => range?.subnet.address.family === family).length;
    if (count <= 1) continue;
    const message = `CNI version ${cniVersion} does not support more than 1 address per family`;
    throw new CniError(CNI_CODE.invalidConfig, message, `${count} range sets of IPv${family}`);
  }
}

function parseWish(text: string): Address {
  const address = parsePrefix(text)?.address ?? parseAddress(text);
  if (address !== null) return address;
  throw new CniError(
    CNI_CODE.invalidConfig,
    `invalid requested address "${text}"`,
    "wanted: an IP address, or address/length",
  );
}

/** Where `ip route get` would be asked for the default route's link: any public address; no packet is sent. */
const PROBES = ["1.1.1.1", "2606:4700:4700::1111"];
const ETHERNET_MTU = 1500;

/** The MTU given, or what the agent found to fit between nodes, or that of the default route's link, in bytes. */
function chooseMtu(conf: NetConf, host: Host): number {
  if (conf.raw.mtu) return conf.raw.mtu;
  const published = findPublished(conf.stateDir, host)?.mtu;
  if (published) return published;
  for (const probe of PROBES) {
    const address = parseAddress(probe);
    const mtu = address === null ? null : host.routeMtu(address);
    if (mtu !== null && mtu > 0) return Math.min(mtu, 65535);
  }
  return ETHERNET_MTU;
}

/** Whether the bridge carries the gateway address; ours by default, since a cluster can't work without (docs/configuration.md). */
export function isGateway(conf: NetConf): boolean {
  return conf.raw.isDefaultGateway === true || (conf.raw.isGateway ?? true);
}

/** Link options of the configuration. Throws code 7 for a bad MAC, VLAN, limit or number, code 2 for a refused sysctl. */
export function readOptions(
  conf: NetConf,
  environment: Environment,
  host: Host,
): Omit<AttachmentOptions, "routes"> {
  const { raw } = conf;
  const bridgeMtu = chooseMtu(conf, host);
  const tuning = readTuning(conf, environment.ifname, host);
  const mtu = tuning?.mtu ?? bridgeMtu;
  return {
    bridge: conf.bridge,
    hairpin: raw.promiscMode === true ? false : (raw.hairpinMode ?? true),
    isolated: raw.portIsolation ?? false,
    // Without an ipam section there is no place to write routes: the pod needs its default route all the same.
    defaultRoute: raw.isDefaultGateway ?? !raw.ipam,
    enableDad: raw.enabledad ?? false,
    podDown: raw.disableContainerInterface ?? false,
    withoutIpv6: !host.isFile(IPV6_FORWARDING),
    mtu,
    bridgeMtu,
    mac: requestedMac(conf, environment.args),
    vlan: raw.vlan || null,
    trunk: readTrunk(conf),
    preserveDefaultVlan: raw.preserveDefaultVlan ?? false,
    gatewayDevice: isGateway(conf) ? gatewayDevice(conf.bridge, raw.vlan || null) : null,
    limits: readLimits(conf, mtu, host),
    tuning,
  };
}

/** The VLANs that pods send tagged. Throws code 7. */
export function readTrunk({ raw }: NetConf): number[] {
  try {
    return parseVlanTrunk(raw.vlanTrunk ?? []);
  } catch (error) {
    if (!(error instanceof VlanError)) throw error;
    throw new CniError(CNI_CODE.invalidConfig, error.message, `vlanTrunk=${JSON.stringify(raw.vlanTrunk)}`);
  }
}

/** The first address of the subnet stands in for a gateway that another IPAM plugin left out, where the bridge is one. */
export function withGateways(addresses: readonly Allocation[], isNeeded: boolean): Allocation[] {
  return addresses.map(({ prefix, gateway }) => ({
    prefix,
    gateway: gateway ?? (isNeeded ? addOffset(networkOf(prefix).address, 1n) : null),
  }));
}

/** The routes of the `ipam` section. Throws code 7 for a bad one. */
export function readRoutes({ raw }: NetConf): ResultRoute[] {
  return (raw.ipam?.routes ?? []).map(parseRoute);
}

function parseRoute(route: RawRoute): ResultRoute {
  const dst = parsePrefix(route.dst);
  const gw = route.gw ? parseAddress(route.gw) : null;
  if (dst === null)
    throw new CniError(
      CNI_CODE.invalidConfig,
      `invalid route destination "${route.dst}"`,
      "wanted: address/length",
    );
  if (route.gw && (gw === null || gw.family !== dst.address.family)) {
    throw new CniError(
      CNI_CODE.invalidConfig,
      `invalid gateway "${route.gw}" of route ${route.dst}`,
      "wanted: an address of the same family",
    );
  }
  return { dst: networkOf(dst), gw, ...routeNumbers(route) };
}

/** The config's dns where it has any key, else what the manager of the addresses says (SPEC rule 76). */
export function chooseDns({ raw: { dns } }: NetConf, fromIpam: Dns): Dns {
  const isSet = dns && Object.values(dns).some((value) => value !== undefined && value !== null);
  return isSet ? dns : fromIpam;
}

/** What `ipam.resolvConf` says; nothing without one. Throws code 7 when the file is not there. */
export function readResolvConf({ raw: { ipam } }: NetConf, host: Host): Dns {
  if (!ipam?.resolvConf) return {};
  const text = host.readFile(ipam.resolvConf);
  if (text !== null) return parseResolvConf(text);
  const message = `ipam.resolvConf=${ipam.resolvConf} does not exist`;
  throw new CniError(CNI_CODE.invalidConfig, message, "wanted: a file in resolv.conf(5) form");
}

function parseResolvConf(text: string): Dns {
  const lines = text.split("\n").flatMap((line) => (/^\s*[#;]/.test(line) ? [] : [line.trim().split(/\s+/)]));
  const of = (key: string) => lines.filter(([first]) => first === key).map(([, ...rest]) => rest);
  const domain = of("domain").at(-1)?.[0];
  return {
    nameservers: of("nameserver").flatMap(([server]) => server ?? []),
    ...(domain === undefined ? {} : { domain }),
    search: of("search").at(-1) ?? [],
    options: of("options").flat(),
  };
}
