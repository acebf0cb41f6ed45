import { type Address, formatAddress } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import type { Dns } from "./config.ts";
import { type CniVersion, isAtLeast } from "./version.ts";

/** One interface of a result; `sandbox` empty for one of the host. `mtu` in bytes, said from 1.1.0 on. */
export interface ResultInterface {
  readonly name: string;
  readonly mac: string;
  readonly mtu?: number;
  readonly sandbox: string;
}

/** A result in the newest form; {@link formatResult} writes it in the request's. */
export interface Result {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly {
    readonly address: Prefix;
    readonly gateway: Address;
    readonly interface: number;
  }[];
  readonly routes: readonly ResultRoute[];
  readonly dns: Dns;
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

/**
 * One line of JSON in the shape of `version` (SPEC §5 "Add Success"): `ips[].version` up to 0.4.0, `dns` always there
 * up to 0.4.0 and only with content later, interface MTU from 1.1.0.
 */
export function formatResult(version: CniVersion, result: Result): string {
  const isOld = !isAtLeast(version, "1.0.0");
  const hasMtu = isAtLeast(version, "1.1.0");
  const dns = withoutEmpty(result.dns);
  return JSON.stringify({
    cniVersion: version,
    interfaces: result.interfaces.map(({ name, mac, mtu, sandbox }) => ({
      name,
      mac,
      ...(hasMtu && mtu !== undefined ? { mtu } : {}),
      ...(sandbox === "" ? {} : { sandbox }),
    })),
    ips: result.ips.map((ip) => ({
      ...(isOld ? { version: String(ip.address.address.family) } : {}),
      interface: ip.interface,
      address: formatPrefix(ip.address),
      gateway: formatAddress(ip.gateway),
    })),
    ...(result.routes.length === 0
      ? {}
      : { routes: result.routes.map((route) => formatRoute(route, hasMtu)) }),
    ...(isOld || Object.keys(dns).length > 0 ? { dns } : {}),
  });
}

function formatRoute({ dst, gw, ...numbers }: ResultRoute, isNew: boolean): Record<string, unknown> {
  return {
    dst: formatPrefix(dst),
    ...(gw === null ? {} : { gw: formatAddress(gw) }),
    ...(isNew ? numbers : {}),
  };
}

function withoutEmpty(dns: Dns): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(dns).filter(([, value]) => value !== null && value !== undefined && value.length > 0),
  );
}
