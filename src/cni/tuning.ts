import { CNI_CODE, CniError } from "./errors.ts";
import type { RawNetConf } from "./schema.ts";

/** What is set at the pod's end and in its sandbox; absent: as the kernel has it. */
export interface Tuning {
  /** Of both ends of this attachment's veth pair, in bytes; absent: that of the network. */
  readonly mtu?: number;
  readonly promisc?: boolean;
  readonly allmulti?: boolean;
  /** Packets that the queue of the pod's end holds. */
  readonly txQueueLength?: number;
  /** Path below /proc/sys, and value; each path once, in the order of the configuration. */
  readonly sysctls: readonly (readonly [key: string, value: string])[];
}

/** Where the plugin tuning looks for the sysctls that it may set: a regular expression a line. */
export const ALLOWLIST = "/etc/cni/tuning/allowlist.conf";

/** A key stands for the pod's end by this word. */
const IFNAME = "IFNAME";
const UINT32 = 0xffffffff;
/** ETH_MIN_MTU and the largest that IPv4 knows. */
const MTU = { least: 68, most: 65535 } as const;

/** Sysctls as they are written, those of `args` over the file's, key by key. */
export function writtenSysctls({ sysctl, args }: RawNetConf): [key: string, value: string][] {
  return Object.entries({ ...sysctl, ...args?.cni?.sysctl });
}

/**
 * What a configuration says in the keys of the plugin tuning; null: nothing. `allowlist`: text of {@link ALLOWLIST}, null
 * where there is none. Throws code 7 for a bad number, code 2 for a sysctl that is not to be set.
 */
export function parseTuning(raw: RawNetConf, ifname: string, allowlist: string | null): Tuning | null {
  const own = raw.args?.cni;
  const promisc = own?.promisc ?? raw.promisc;
  const allmulti = own?.allmulti ?? raw.allmulti;
  const txQLen = own?.txQLen ?? raw.txQLen;
  const mtu = parseMtu(own?.mtu ?? 0);
  const sysctls = parseSysctls(writtenSysctls(raw), ifname, allowlist);
  if (txQLen != null && (!Number.isInteger(txQLen) || txQLen < 0 || txQLen > UINT32)) {
    refuse(`invalid txQLen: ${txQLen}`, `txQLen=${txQLen}; wanted: a whole number from 0 to ${UINT32}`);
  }
  // As the reference: `promisc` false leaves the link as it is, `allmulti` false is said to it.
  const isEmpty = promisc !== true && allmulti == null && txQLen == null && mtu === 0;
  if (isEmpty && sysctls.length === 0) return null;
  return {
    ...(mtu === 0 ? {} : { mtu }),
    ...(promisc === true ? { promisc } : {}),
    ...(allmulti == null ? {} : { allmulti }),
    ...(txQLen == null ? {} : { txQueueLength: txQLen }),
    sysctls,
  };
}

/** The MTU of this attachment alone, in bytes; 0: that of the network. */
function parseMtu(mtu: number): number {
  if (mtu === 0 || (Number.isInteger(mtu) && mtu >= MTU.least && mtu <= MTU.most)) return mtu;
  const details = `args.cni.mtu=${mtu}; wanted: a whole number from ${MTU.least} to ${MTU.most}`;
  return refuse(`invalid mtu: ${mtu}`, details);
}

function refuse(message: string, details: string): never {
  throw new CniError(CNI_CODE.invalidConfig, message, details);
}

function parseSysctls(
  written: readonly (readonly [string, string])[],
  ifname: string,
  allowlist: string | null,
): [string, string][] {
  if (written.length === 0) return [];
  const allowed = allowlist === null ? null : parseAllowlist(allowlist);
  const found = new Map<string, string>();
  for (const [key, text] of written) {
    const value = text.replace(/\n+$/, "");
    const path = sysctlPath(key, ifname);
    if (path === null) {
      refuseSysctl(
        `invalid net sysctl key: ${quote(key)}=${quote(value)}`,
        "a key below net, such as net.core.somaxconn",
      );
    }
    // The file is written as it is; a tab stands between numbers.
    if (/[^\P{Cc}\t]/u.test(value)) {
      refuseSysctl(`invalid net sysctl value: ${quote(key)}=${quote(value)}`, "no control characters");
    }
    if (allowed?.some((pattern) => pattern.test(key)) === false) {
      const patterns = allowed.map(({ source }) => source).join(" ") || "nothing";
      refuseSysctl(
        `sysctl ${quote(key)}=${quote(value)} is not allowed by ${ALLOWLIST}`,
        `one of ${patterns}`,
      );
    }
    // Another spelling of the same key: the later one holds, at its own place.
    found.delete(path);
    found.set(path, value);
  }
  return [...found];
}

function refuseSysctl(what: string, wanted: string): never {
  throw new CniError(CNI_CODE.unsupportedField, `unsupported field: ${what}`, `${what}; wanted: ${wanted}`);
}

/**
 * As the reference does it: every dot of the key becomes a slash, and only then the name takes its place, since it may
 * have dots of its own (getSysctlFilename of plg:plugins/meta/tuning). Null: no key below net.
 */
function sysctlPath(key: string, ifname: string): string | null {
  const parts = key.replaceAll(".", "/").split("/");
  const isPath = parts.length > 1 && parts[0] === "net" && parts.every((part) => part !== "");
  // What else `/proc/sys` could be left by; a space or a quote is in no name of the kernel's.
  if (!isPath || /[^\x21-\x7e]/.test(key)) return null;
  return parts.map((part) => part.replace(IFNAME, () => ifname)).join("/");
}

function parseAllowlist(text: string): RegExp[] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "").map(parsePattern);
}

/** Throws code 7 for a line that is no regular expression. */
function parsePattern(line: string): RegExp {
  try {
    return new RegExp(line);
  } catch {
    const message = `${ALLOWLIST}: ${quote(line)} is no regular expression`;
    return refuse(message, `${quote(line)}; wanted: one regular expression a line`);
  }
}

function quote(text: string): string {
  return JSON.stringify(text);
}
