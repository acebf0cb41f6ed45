import * as v from "valibot";
import { interfaceNameFault, isBatchSafe } from "../net/ifname.ts";
import { parseMac } from "../net/mac.ts";
import { CNI_CODE, CniError } from "./errors.ts";
import { canonicalKeys } from "./keys.ts";
import { type CniVersion, parseVersion } from "./version.ts";

/** `null` stands for "absent" (runtimes send `"portMappings": null`, and Go treats both alike). */
const absent = <T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema));

const DnsSchema = v.object({
  nameservers: absent(v.array(v.string())),
  domain: absent(v.string()),
  search: absent(v.array(v.string())),
  options: absent(v.array(v.string())),
});

const uint = v.pipe(v.number(), v.integer(), v.minValue(0));

const RouteSchema = v.object({
  dst: v.string(),
  gw: absent(v.string()),
  mtu: absent(uint),
  advmss: absent(uint),
  priority: absent(uint),
  table: absent(uint),
  scope: absent(uint),
});

const RangeSchema = v.object({
  subnet: v.string(),
  rangeStart: absent(v.string()),
  rangeEnd: absent(v.string()),
  gateway: absent(v.string()),
});

const IpamSchema = v.object({
  type: absent(v.string()),
  ranges: absent(v.array(v.array(RangeSchema))),
  subnet: absent(v.string()),
  rangeStart: absent(v.string()),
  rangeEnd: absent(v.string()),
  gateway: absent(v.string()),
  routes: absent(v.array(RouteSchema)),
  resolvConf: absent(v.string()),
  dataDir: absent(v.string()),
});

const RuntimeConfigSchema = v.object({
  mac: absent(v.string()),
  ips: absent(v.array(v.string())),
  ipRanges: absent(v.array(v.array(RangeSchema))),
});

const ArgsSchema = v.object({
  cni: absent(v.object({ mac: absent(v.string()), ips: absent(v.array(v.string())) })),
});

const PrevResultSchema = v.object({
  interfaces: absent(
    v.array(v.object({ name: v.string(), mac: absent(v.string()), sandbox: absent(v.string()) })),
  ),
  ips: absent(
    v.array(v.object({ address: v.string(), gateway: absent(v.string()), interface: absent(uint) })),
  ),
  routes: absent(v.array(RouteSchema)),
  dns: absent(DnsSchema),
});

const NetConfSchema = v.object({
  cniVersion: absent(v.string()),
  name: absent(v.string()),
  type: absent(v.string()),
  bridge: absent(v.string()),
  isGateway: absent(v.boolean()),
  isDefaultGateway: absent(v.boolean()),
  forceAddress: absent(v.boolean()),
  ipMasq: absent(v.boolean()),
  ipMasqBackend: absent(v.string()),
  mtu: absent(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  hairpinMode: absent(v.boolean()),
  promiscMode: absent(v.boolean()),
  vlan: absent(v.number()),
  vlanTrunk: absent(v.array(v.unknown())),
  preserveDefaultVlan: absent(v.boolean()),
  macspoofchk: absent(v.boolean()),
  portIsolation: absent(v.boolean()),
  disableContainerInterface: absent(v.boolean()),
  enabledad: absent(v.boolean()),
  ipam: absent(IpamSchema),
  dns: absent(DnsSchema),
  args: absent(ArgsSchema),
  runtimeConfig: absent(RuntimeConfigSchema),
  prevResult: absent(PrevResultSchema),
  stateDir: absent(v.string()),
});

/** The configuration as it arrives, keys in their canonical spelling, types checked, values not yet understood. */
export type RawNetConf = v.InferOutput<typeof NetConfSchema>;
export type RawIpam = v.InferOutput<typeof IpamSchema>;
export type RawRange = v.InferOutput<typeof RangeSchema>;
export type RawRoute = v.InferOutput<typeof RouteSchema>;
export type RawPrevResult = v.InferOutput<typeof PrevResultSchema>;
export type Dns = v.InferOutput<typeof DnsSchema>;

/** What every command needs of the configuration. */
export interface NetConf {
  readonly cniVersion: CniVersion;
  readonly network: string;
  readonly bridge: string;
  /** Folder of attachment records and node.json, absolute. */
  readonly stateDir: string;
  readonly raw: RawNetConf;
}

/** SPEC §1: a network name starts alphanumeric and goes on with `[A-Za-z0-9_.-]`. */
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
export const DEFAULT_BRIDGE = "minicni0";
export const DEFAULT_STATE_DIR = "/run/minicni";
export const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

/** Parses the JSON of stdin. Throws code 6 when it is no JSON object or a key has the wrong type. */
export function parseJson(stdin: string): unknown {
  try {
    return canonicalKeys(JSON.parse(stdin));
  } catch (error) {
    throw new CniError(
      CNI_CODE.decode,
      `error unmarshall network config: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Checks types, version and name. Throws code 6, 1 or 7; actual against wanted in the details. */
export function parseNetConf(json: unknown): NetConf {
  // An array is an object to valibot, and every key may be absent.
  const parsed = v.safeParse(NetConfSchema, Array.isArray(json) ? null : json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const where = v.getDotPath(issue) ?? "(the document)";
    const details = `${where}: expected ${issue.expected ?? "another value"}, got ${issue.received}`;
    throw new CniError(CNI_CODE.decode, `error unmarshall network config: ${details}`, details);
  }
  const raw = parsed.output;
  const cniVersion = parseVersion(raw.cniVersion || "0.1.0");
  const network = raw.name ?? "";
  if (network === "") throw new CniError(CNI_CODE.invalidConfig, "missing network name");
  if (!NETWORK_NAME.test(network) || network.length > 200) {
    throw new CniError(CNI_CODE.invalidConfig, "invalid characters found in network name", `name=${network}`);
  }
  const stateDir = raw.stateDir || DEFAULT_STATE_DIR;
  for (const [key, path] of [
    ["stateDir", stateDir],
    ["ipam.dataDir", raw.ipam?.dataDir || DEFAULT_DATA_DIR],
  ] as const) {
    if (!path.startsWith("/"))
      throw new CniError(CNI_CODE.invalidConfig, `${key} must be an absolute path`, `${key}=${path}`);
  }
  return { cniVersion, network, bridge: raw.bridge || DEFAULT_BRIDGE, stateDir, raw };
}

/** What ADD refuses beyond {@link parseNetConf}; DEL must not look at it (ctrd#9064). Throws code 2 or 7. */
export function checkForAdd({ raw, bridge }: NetConf): void {
  const fault = interfaceNameFault(bridge);
  if (fault !== null || !isBatchSafe(bridge)) {
    throw new CniError(
      CNI_CODE.invalidConfig,
      `invalid bridge name: ${fault ?? "unusable characters"}`,
      `bridge=${bridge}`,
    );
  }
  if (raw.hairpinMode === true && raw.promiscMode === true) {
    throw new CniError(
      CNI_CODE.invalidConfig,
      "cannot set hairpin mode and promiscuous mode at the same time",
    );
  }
  if (raw.vlan != null && (!Number.isInteger(raw.vlan) || raw.vlan < 0 || raw.vlan > 4094)) {
    throw new CniError(CNI_CODE.invalidConfig, `invalid VLAN ID ${raw.vlan} (must be between 0 and 4094)`);
  }
  if (raw.disableContainerInterface === true && raw.ipam?.type) {
    throw new CniError(CNI_CODE.invalidConfig, "cannot use IPAM when DisableContainerInterface flag is set");
  }
  const refused: [string, unknown][] = [
    ["vlan", raw.vlan || undefined],
    ["vlanTrunk", raw.vlanTrunk?.length ? raw.vlanTrunk : undefined],
    ["macspoofchk", raw.macspoofchk || undefined],
    [
      "ipMasqBackend",
      raw.ipMasq && raw.ipMasqBackend && raw.ipMasqBackend !== "iptables" ? raw.ipMasqBackend : undefined,
    ],
    ["ipam.type", ["", "host-local", "minicni"].includes(raw.ipam?.type ?? "") ? undefined : raw.ipam?.type],
  ];
  for (const [key, value] of refused) {
    if (value === undefined) continue;
    throw new CniError(
      CNI_CODE.unsupportedField,
      `unsupported field: ${key}=${JSON.stringify(value)}`,
      `remove ${key}`,
    );
  }
}

/** The pod-side MAC that was asked for: runtimeConfig, then args.cni, then CNI_ARGS; null when none was. */
export function requestedMac(conf: NetConf, args: ReadonlyMap<string, string>): string | null {
  const text = conf.raw.runtimeConfig?.mac || conf.raw.args?.cni?.mac || args.get("MAC");
  if (!text) return null;
  const mac = parseMac(text);
  if (mac === null)
    throw new CniError(
      CNI_CODE.invalidConfig,
      `invalid MAC address: ${text}`,
      "wanted: unicast, aa:bb:cc:dd:ee:ff",
    );
  return mac;
}
