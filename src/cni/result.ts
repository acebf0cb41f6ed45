import { type Address, FAMILIES, formatAddress } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import { CNI_CODE, CniError } from "./errors.ts";
import type { Dns } from "./schema.ts";
import { type CniVersion, isAtLeast } from "./version.ts";

/** One interface of a result; `sandbox` empty for one of the host. `mtu` in bytes; it and what follows since 1.1.0. */
export interface ResultInterface {
  readonly name: string;
  readonly mac: string;
  readonly sandbox: string;
  readonly mtu?: number;
  readonly socketPath?: string;
  readonly pciID?: string;
}

/** One address of a result; `interface` is an index of `interfaces`, null in the abbreviated result of an IPAM plugin. */
export interface ResultIp {
  readonly address: Prefix;
  readonly gateway: Address | null;
  readonly interface: number | null;
}

/** A route of a result; the numbers are said from 1.1.0 on. */
export interface ResultRoute {
  readonly dst: Prefix;
  readonly gw: Address | null;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

/** A result in the newest form; {@link formatResult} writes it in the request's. */
export interface Result {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultIp[];
  readonly routes: readonly ResultRoute[];
  readonly dns: Dns;
}

/** What the plugins before us in a list did, and what we did behind it (SPEC §2 "ADD": pass prevResult through). */
export function mergeResults(before: Result | null, own: Result): Result {
  if (before === null) return own;
  const offset = before.interfaces.length;
  return {
    interfaces: [...before.interfaces, ...own.interfaces],
    ips: [
      ...before.ips,
      ...own.ips.map((ip) => ({ ...ip, interface: ip.interface === null ? null : ip.interface + offset })),
    ],
    routes: [...before.routes, ...own.routes],
    dns: Object.keys(withoutEmpty(own.dns)).length > 0 ? own.dns : before.dns,
  };
}

/**
 * One line of JSON in the shape of `version` (SPEC §5 "Add Success"): `ip4`/`ip6` up to 0.2.0, `ips[].version` up to
 * 0.4.0, `dns` always there up to 0.4.0 and only with content later, interface MTU and the like from 1.1.0. Throws
 * code 7 for a result without any address before 0.3.0, which has no words for it.
 */
export function formatResult(version: CniVersion, result: Result): string {
  if (!isAtLeast(version, "0.3.0")) return formatOldest(version, result);
  const isOld = !isAtLeast(version, "1.0.0");
  const isNew = isAtLeast(version, "1.1.0");
  const dns = withoutEmpty(result.dns);
  return JSON.stringify({
    cniVersion: version,
    ...(result.interfaces.length === 0
      ? {}
      : { interfaces: result.interfaces.map((link) => formatInterface(link, isNew)) }),
    ...(result.ips.length === 0 ? {} : { ips: result.ips.map((ip) => formatIp(ip, isOld)) }),
    ...(result.routes.length === 0
      ? {}
      : { routes: result.routes.map((route) => formatRoute(route, isNew)) }),
    ...(isOld || Object.keys(dns).length > 0 ? { dns } : {}),
  });
}

function formatInterface({ name, mac, sandbox, ...rest }: ResultInterface, isNew: boolean) {
  return {
    name,
    ...(mac === "" ? {} : { mac }),
    ...(isNew ? rest : {}),
    ...(sandbox === "" ? {} : { sandbox }),
  };
}

function formatIp(ip: ResultIp, isOld: boolean) {
  return {
    ...(isOld ? { version: String(ip.address.address.family) } : {}),
    // Index 0 has to be printed, a missing one must not be (Go's decoder takes 0 for the first interface).
    ...(ip.interface === null ? {} : { interface: ip.interface }),
    address: formatPrefix(ip.address),
    ...(ip.gateway === null ? {} : { gateway: formatAddress(ip.gateway) }),
  };
}

function formatRoute({ dst, gw, ...numbers }: ResultRoute, isNew: boolean) {
  return {
    dst: formatPrefix(dst),
    ...(gw === null ? {} : { gw: formatAddress(gw) }),
    ...(isNew ? numbers : {}),
  };
}

/** 0.1.0 and 0.2.0: the first address of each family, with the routes of that family; no interfaces. */
function formatOldest(version: CniVersion, { ips, routes, dns }: Result): string {
  if (ips.length === 0) {
    const details = `cniVersion=${version} has no result without an address`;
    throw new CniError(CNI_CODE.invalidConfig, "cannot convert: no valid IP addresses", details);
  }
  const families = FAMILIES.map((family) => {
    const ip = ips.find(({ address }) => address.address.family === family);
    if (ip === undefined) return {};
    const own = routes.filter(({ dst }) => dst.address.family === family);
    const value = {
      ip: formatPrefix(ip.address),
      ...(ip.gateway === null ? {} : { gateway: formatAddress(ip.gateway) }),
      ...(own.length === 0 ? {} : { routes: own.map((route) => formatRoute(route, false)) }),
    };
    return { [`ip${family}`]: value };
  });
  return JSON.stringify({ cniVersion: version, ...families[0], ...families[1], dns: withoutEmpty(dns) });
}

function withoutEmpty(dns: Dns): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(dns).filter(([, value]) => value !== null && value !== undefined && value.length > 0),
  );
}
