import * as v from "valibot";
import { interfaceNameFault, isBatchSafe } from "../net/ifname.ts";
import { parseMac } from "../net/mac.ts";
import { CNI_CODE, CniError } from "./errors.ts";
import { canonicalKeys } from "./keys.ts";
import { GC_KEYS, NetConfSchema, type RawNetConf, type ValidAttachments } from "./schema.ts";
import { type CniVersion, isAtLeast, OLDEST_VERSION, parseVersion } from "./version.ts";

/** What every command needs of the configuration. */
export interface NetConf {
  readonly cniVersion: CniVersion;
  readonly network: string;
  readonly bridge: string;
  /** Folder of attachment records and node.json, absolute. */
  readonly stateDir: string;
  /** Folder of the built-in address store, absolute. */
  readonly dataDir: string;
  /** Time for one call in seconds, where the configuration gives one. */
  readonly deadline: number | null;
  readonly raw: RawNetConf;
  /** Top-level keys that could not be read and were left out (DEL and GC only). */
  readonly ignored: readonly string[];
}

/** SPEC §1: a network name starts alphanumeric and goes on with `[A-Za-z0-9_.-]`. */
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** It is a folder's name in the store, and a part of others. */
const MAX_NAME = 200;
/** Not the reference's cni0: both can run side by side. */
export const DEFAULT_BRIDGE = "minicni0";
/** Where records, locks and node.json are by default. */
export const DEFAULT_STATE_DIR = "/run/minicni";
const DEFAULT_DATA_DIR = "/var/lib/cni/networks";
/** The `type` of our own configurations. */
export const OWN_TYPE = "minicni";

/** Parses the JSON of stdin. Throws code 6 when it is no JSON. */
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

/**
 * Checks types, version and name. Throws code 6, 1 or 7; actual against wanted in the details. `lenient` leaves out
 * top-level keys of a wrong type, but for those that say which network it is and what must stay: a DEL must not fail
 * for what only an ADD uses (ctrd#9064). `needsList`: GC's list of attachments is one of these.
 */
export function parseNetConf(json: unknown, lenient = false, needsList = false): NetConf {
  const { raw: written, ignored } = readKeys(json, lenient, needsList);
  const raw = withoutOldForm(written, lenient);
  const cniVersion = parseVersion(raw.cniVersion || OLDEST_VERSION);
  const network = raw.name ?? "";
  if (network === "") throw new CniError(CNI_CODE.invalidConfig, "missing network name");
  if (!NETWORK_NAME.test(network)) {
    throw new CniError(CNI_CODE.invalidConfig, "invalid characters found in network name", `name=${network}`);
  }
  if (network.length > MAX_NAME) {
    const details = `name has ${network.length} characters, at most ${MAX_NAME} can be kept`;
    throw new CniError(CNI_CODE.invalidConfig, "network name is too long", details);
  }
  return {
    cniVersion,
    network,
    bridge: raw.bridge || DEFAULT_BRIDGE,
    stateDir: absolute("stateDir", raw.stateDir || DEFAULT_STATE_DIR),
    dataDir: raw.ipam
      ? absolute("ipam.dataDir", raw.ipam.dataDir || DEFAULT_DATA_DIR)
      : absolute("dataDir", raw.dataDir || DEFAULT_DATA_DIR),
    deadline: raw.deadline ?? null,
    raw,
    ignored,
  };
}

/** Go minicni's form, `subnet` at the top level and no `ipam`, in ours: one range, and a default route as it made. */
function withoutOldForm(raw: RawNetConf, lenient: boolean): RawNetConf {
  if (raw.subnet === undefined || raw.ipam || raw.type !== OWN_TYPE) return raw;
  if (typeof raw.subnet !== "string") {
    if (lenient) return raw;
    const details = `subnet=${JSON.stringify(raw.subnet)}`;
    throw new CniError(CNI_CODE.invalidConfig, "subnet must be a network such as 10.244.1.0/24", details);
  }
  const ipam = { ranges: [[{ subnet: raw.subnet }]], dataDir: raw.dataDir };
  return { ...raw, ipam, isDefaultGateway: raw.isDefaultGateway ?? true };
}

function absolute(key: string, path: string): string {
  if (path.startsWith("/")) return path.replace(/\/+$/, "");
  throw new CniError(CNI_CODE.invalidConfig, `${key} must be an absolute path`, `${key}=${path}`);
}

/** Keys without which a lenient reading would act on something else than was meant. */
const NEEDED = ["cniVersion", "name", "stateDir"];

function readKeys(
  json: unknown,
  lenient: boolean,
  needsList: boolean,
): { raw: RawNetConf; ignored: string[] } {
  const ignored: string[] = [];
  const needed: readonly string[] = needsList ? [...NEEDED, ...GC_KEYS] : NEEDED;
  let value = json;
  for (;;) {
    const parsed = v.safeParse(NetConfSchema, value);
    if (parsed.success) return { raw: parsed.output, ignored };
    const [issue] = parsed.issues;
    const key = issue.path?.[0].key;
    if (!lenient || typeof key !== "string" || needed.includes(key) || ignored.includes(`${key}.*`)) {
      const where = v.getDotPath(issue) ?? "(the document)";
      const details = `${where}: expected ${issue.expected ?? "another value"}, got ${issue.received}`;
      throw new CniError(CNI_CODE.decode, `error unmarshall network config: ${details}`, details);
    }
    ignored.push(key === "ipam" ? "ipam.*" : key);
    value = { ...Object(value), [key]: key === "ipam" ? ipamCore(Object(value).ipam) : undefined };
  }
}

/** Of an `ipam` section that can't be read: who manages the addresses, and where. */
function ipamCore(ipam: unknown): Record<string, unknown> {
  if (typeof ipam !== "object" || ipam === null) return {};
  return Object.fromEntries(
    Object.entries(ipam).filter(
      ([key, value]) => (key === "type" || key === "dataDir") && typeof value === "string",
    ),
  );
}

function refuse(code: number, message: string, details: string): never {
  throw new CniError(code, message, details);
}

/** What ADD refuses beyond {@link parseNetConf}; DEL must not look at it (ctrd#9064). Throws code 2 or 7. */
export function checkForAdd({ raw, bridge, cniVersion }: NetConf): void {
  if (/[/\\]/.test(raw.type ?? "")) {
    refuse(CNI_CODE.invalidConfig, "type must not contain / or \\", `type=${raw.type}`);
  }
  const fault = interfaceNameFault(bridge);
  if (fault !== null || !isBatchSafe(bridge)) {
    const message = `invalid bridge name: ${fault ?? "unusable characters"}`;
    refuse(CNI_CODE.invalidConfig, message, `bridge=${bridge}`);
  }
  if (raw.hairpinMode === true && raw.promiscMode === true) {
    const message = "cannot set hairpin mode and promiscuous mode at the same time";
    refuse(CNI_CODE.invalidConfig, message, "choose one of hairpinMode=true and promiscMode=true");
  }
  if (raw.vlan != null && (!Number.isInteger(raw.vlan) || raw.vlan < 0 || raw.vlan > 4094)) {
    const message = `invalid VLAN ID ${raw.vlan} (must be between 0 and 4094)`;
    refuse(CNI_CODE.invalidConfig, message, `vlan=${raw.vlan}`);
  }
  if (raw.disableContainerInterface === true && raw.ipam?.type) {
    const message = "cannot use IPAM when DisableContainerInterface flag is set";
    refuse(CNI_CODE.invalidConfig, message, `ipam.type=${raw.ipam.type}`);
  }
  if (hasNoAddresses(raw) && !isAtLeast(cniVersion, "0.3.0")) {
    const message = "cannot convert: no valid IP addresses";
    refuse(CNI_CODE.invalidConfig, message, `cniVersion=${cniVersion} has no result without an address`);
  }
  const backend = raw.ipMasqBackend;
  if (backend && !["iptables", "nftables"].includes(backend)) {
    const message = `unsupported field: ipMasqBackend=${JSON.stringify(backend)}`;
    refuse(CNI_CODE.unsupportedField, message, "wanted: iptables or nftables");
  }
}

/**
 * Whether an attachment gets no addresses at all: its interface stays down, or `ipam` is an empty dictionary, by which
 * the reference bridge plugin means a network of layer 2 only.
 */
export function hasNoAddresses({ disableContainerInterface, ipam, runtimeConfig }: RawNetConf): boolean {
  if (disableContainerInterface === true) return true;
  const hasRanges = ipam?.ranges != null || ipam?.subnet || (runtimeConfig?.ipRanges?.length ?? 0) > 0;
  return ipam != null && !ipam.type && !hasRanges;
}

/** The name of the plugin that manages addresses in our place; null: the built-in store does. Throws code 7. */
export function delegateOf({ raw: { ipam } }: NetConf): string | null {
  const type = ipam?.type || OWN_TYPE;
  if (/[/\\]/.test(type)) {
    const message = `ipam.type must not contain / or \\`;
    throw new CniError(CNI_CODE.invalidConfig, message, `ipam.type=${type}`);
  }
  if (type === OWN_TYPE || (type === "host-local" && ipam?.delegate !== true)) return null;
  return type;
}

/** Whether another plugin calls us for addresses only: the configuration is its own, with our name in `ipam.type`. */
export function isIpamCall({ raw }: NetConf): boolean {
  return raw.ipam?.type === OWN_TYPE && (raw.type || OWN_TYPE) !== OWN_TYPE;
}

/** GC's list of attachments that stay; null when there is none (absent or `null`): then nobody said what is valid. */
export function validAttachments({ raw }: NetConf): ValidAttachments | null {
  return raw[GC_KEYS[0]] ?? raw[GC_KEYS[1]] ?? null;
}

/** The pod-side MAC that was asked for: runtimeConfig, args.cni, CNI_ARGS, then the configuration; null when none was. */
export function requestedMac(conf: NetConf, args: ReadonlyMap<string, string>): string | null {
  const text = conf.raw.runtimeConfig?.mac || conf.raw.args?.cni?.mac || args.get("MAC") || conf.raw.mac;
  if (!text) return null;
  const mac = parseMac(text);
  if (mac !== null) return mac;
  const message = `invalid MAC address: ${text}`;
  throw new CniError(CNI_CODE.invalidConfig, message, "wanted: unicast, aa:bb:cc:dd:ee:ff");
}
