import { DEFAULT_DATA_DIR, type Dns, type NetConf, type RawRoute, requestedMac } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { Environment } from "../cni/request.ts";
import type { Host } from "../host/machine.ts";
import { parseRangeSets, type RangeSet, type RangeText } from "../ipam/range.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { networkOf, parsePrefix } from "../net/prefix.ts";
import type { AttachmentOptions, PodRoute } from "../topology/attachment.ts";

/** What a configuration says about addresses, read from its `ipam` section or from what the agent published. */
export interface IpamChoice {
  readonly sets: RangeSet[];
  readonly requested: Address[];
  readonly dataDir: string;
}

/** Range sets, requested addresses and data folder. Throws code 7 (bad values) or 11 (nothing published yet). */
export function readIpam(conf: NetConf, environment: Environment, host: Host): IpamChoice {
  const { ipam } = conf.raw;
  const dataDir = ipam?.dataDir || DEFAULT_DATA_DIR;
  if (conf.raw.disableContainerInterface === true) return { sets: [], requested: [], dataDir };
  const old: RangeText[] = ipam?.subnet ? [{ ...ipam, subnet: ipam.subnet }] : [];
  // host-local: ranges of the runtime first, the old top-level form before `ranges`.
  const texts = [
    ...(conf.raw.runtimeConfig?.ipRanges ?? []),
    ...(old.length > 0 ? [old] : []),
    ...(ipam?.ranges ?? []),
  ];
  const sets = parseRangeSets(texts.length > 0 ? texts : ipam ? [] : publishedRanges(conf, host));
  if (sets.length === 0)
    throw new CniError(CNI_CODE.invalidConfig, "no IP ranges specified", "give ipam.ranges or ipam.subnet");
  const wishes =
    conf.raw.runtimeConfig?.ips ?? conf.raw.args?.cni?.ips ?? environment.args.get("IP")?.split(",") ?? [];
  return { sets, requested: wishes.filter((text) => text !== "").map(parseWish), dataDir };
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

/** `node.json` as the agent writes it; only the pod CIDRs matter here. */
function publishedRanges(conf: NetConf, host: Host): RangeText[][] {
  const path = `${conf.stateDir}/node.json`;
  const text = host.readFile(path);
  if (text === null) {
    throw new CniError(
      CNI_CODE.tryAgainLater,
      `no ipam in the configuration and no ${path}`,
      "wait for the minicni agent, or configure ipam",
    );
  }
  const value: unknown = JSON.parse(text);
  const found = typeof value === "object" && value !== null && "podCidrs" in value ? value.podCidrs : null;
  if (!Array.isArray(found) || found.length === 0) {
    throw new CniError(
      CNI_CODE.tryAgainLater,
      `${path} names no pod CIDR`,
      "does the Node have spec.podCIDRs? see --allocate-node-cidrs",
    );
  }
  return found.map((subnet) => [{ subnet: String(subnet) }]);
}

/** Where `ip route get` would be asked for the default route's link: any public address; no packet is sent. */
const PROBES = ["1.1.1.1", "2606:4700:4700::1111"];
const ETHERNET_MTU = 1500;

/** The MTU given, or that of the link the default route leaves by, in bytes. */
export function chooseMtu(conf: NetConf, host: Host): number {
  if (conf.raw.mtu) return conf.raw.mtu;
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

/** Link and route options of the configuration. Throws code 7 for a bad route or MAC. */
export function readOptions(conf: NetConf, environment: Environment, mtu: number): AttachmentOptions {
  const { raw } = conf;
  return {
    bridge: conf.bridge,
    hairpin: raw.promiscMode === true ? false : (raw.hairpinMode ?? true),
    isolated: raw.portIsolation ?? false,
    // Without an ipam section there is no place to write routes: the pod needs its default route all the same.
    defaultRoute: raw.isDefaultGateway ?? !raw.ipam,
    enableDad: raw.enabledad ?? false,
    podDown: raw.disableContainerInterface ?? false,
    mtu,
    mac: requestedMac(conf, environment.args),
    routes: (raw.ipam?.routes ?? []).map(parseRoute),
  };
}

function parseRoute(route: RawRoute): PodRoute {
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
  const numbers = (["mtu", "advmss", "priority", "table", "scope"] as const).flatMap((key) => {
    const value = route[key];
    return value === undefined || value === null ? [] : [[key, value] as const];
  });
  return { dst: networkOf(dst), gw, ...Object.fromEntries(numbers) };
}

/** The config's dns where it has any key, else what resolvConf says (SPEC rule 76). */
export function readDns(conf: NetConf, host: Host): Dns {
  const { dns, ipam } = conf.raw;
  if (dns && Object.values(dns).some((value) => value !== undefined && value !== null)) return dns;
  return ipam?.resolvConf
    ? parseResolvConf(host.readFile(ipam.resolvConf) ?? refuseResolvConf(ipam.resolvConf))
    : {};
}

function refuseResolvConf(path: string): never {
  throw new CniError(
    CNI_CODE.invalidConfig,
    `ipam.resolvConf=${path} does not exist`,
    "wanted: a file in resolv.conf(5) form",
  );
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
