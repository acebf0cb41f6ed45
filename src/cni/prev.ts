import * as v from "valibot";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import { CNI_CODE, CniError } from "./errors.ts";
import type { Result, ResultInterface, ResultIp, ResultRoute } from "./result.ts";
import { absent, DnsSchema, dictionary, RouteSchema, uint } from "./schema.ts";
import { type CniVersion, findVersion, isAtLeast, SUPPORTED_VERSIONS } from "./version.ts";

const InterfaceSchema = dictionary({
  name: v.string(),
  mac: absent(v.string()),
  sandbox: absent(v.string()),
  mtu: absent(uint),
  socketPath: absent(v.string()),
  pciID: absent(v.string()),
});
// Go's decoder knows index −1 as well as a missing one: both stand for "no interface".
const IpSchema = dictionary({
  address: v.string(),
  gateway: absent(v.string()),
  interface: absent(v.pipe(v.number(), v.integer(), v.minValue(-1))),
});
const ResultSchema = dictionary({
  interfaces: absent(v.array(InterfaceSchema)),
  ips: absent(v.array(IpSchema)),
  routes: absent(v.array(RouteSchema)),
  dns: absent(DnsSchema),
});
const OldIpSchema = dictionary({
  ip: v.string(),
  gateway: absent(v.string()),
  routes: absent(v.array(RouteSchema)),
});
const OldResultSchema = dictionary({
  ip4: absent(OldIpSchema),
  ip6: absent(OldIpSchema),
  dns: absent(DnsSchema),
});

/**
 * Reads a result that another plugin, or an earlier call of ours, gave: in any of the seven versions, its own or (when
 * it names none, cni#895) `fallback`. Keys must be canonical already. `what` names it in errors. Null for none (absent
 * or JSON `null`). Throws code 1 for an unknown version, code 6 for anything unreadable.
 */
export function parseResult(value: unknown, fallback: CniVersion, what: string): Result | null {
  if (value === undefined || value === null) return null;
  const named = typeof value === "object" && "cniVersion" in value ? value.cniVersion : undefined;
  const version = named === undefined || named === null || named === "" ? fallback : findVersion(named);
  if (version === null) {
    const message = `could not parse ${what}: unsupported CNI result version ${JSON.stringify(named)}`;
    throw new CniError(CNI_CODE.incompatibleVersion, message, `supported: ${SUPPORTED_VERSIONS.join(", ")}`);
  }
  return isAtLeast(version, "0.3.0") ? parseNew(value, what) : parseOld(value, what);
}

function parseNew(value: unknown, what: string): Result {
  const { interfaces, ips, routes, dns } = read(ResultSchema, value, what);
  return {
    interfaces: (interfaces ?? []).map(readInterface),
    ips: (ips ?? []).map((ip) =>
      readIp(ip.address, ip.gateway, (ip.interface ?? -1) < 0 ? null : (ip.interface ?? null), what),
    ),
    routes: (routes ?? []).map((route) => parseRoute(route, what)),
    dns: dns ?? {},
  };
}

function parseOld(value: unknown, what: string): Result {
  const { ip4, ip6, dns } = read(OldResultSchema, value, what);
  const families = [ip4, ip6].flatMap((family) => family ?? []);
  return {
    interfaces: [],
    ips: families.map(({ ip, gateway }) => readIp(ip, gateway, null, what)),
    routes: families.flatMap(({ routes }) => (routes ?? []).map((route) => parseRoute(route, what))),
    dns: dns ?? {},
  };
}

function read<T extends v.GenericSchema>(schema: T, value: unknown, what: string): v.InferOutput<T> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const where = v.getDotPath(issue) ?? "(the whole)";
  return fail(what, `${where}: expected ${issue.expected ?? "another value"}, got ${issue.received}`);
}

function fail(what: string, fault: string): never {
  throw new CniError(CNI_CODE.decode, `could not parse ${what}: ${fault}`, fault);
}

function readInterface(link: v.InferOutput<typeof InterfaceSchema>): ResultInterface {
  const { name, mac, sandbox, mtu, socketPath, pciID } = link;
  return {
    name,
    mac: (mac ?? "").toLowerCase(),
    sandbox: sandbox ?? "",
    ...(mtu ? { mtu } : {}),
    ...(socketPath ? { socketPath } : {}),
    ...(pciID ? { pciID } : {}),
  };
}

function readIp(
  text: string,
  gatewayText: string | null | undefined,
  index: number | null,
  what: string,
): ResultIp {
  const address = parsePrefix(text) ?? fail(what, `invalid address "${text}": wanted address/length`);
  const gateway = gatewayText
    ? (parseAddress(gatewayText) ?? fail(what, `invalid gateway "${gatewayText}"`))
    : null;
  return { address, gateway, interface: index };
}

function parseRoute(route: v.InferOutput<typeof RouteSchema>, what: string): ResultRoute {
  const dst = parsePrefix(route.dst) ?? fail(what, `invalid route destination "${route.dst}"`);
  const gw = route.gw
    ? (parseAddress(route.gw) ?? fail(what, `invalid gateway "${route.gw}" of ${route.dst}`))
    : null;
  return { dst, gw, ...routeNumbers(route) };
}

/** The numbers of a route that were given. */
export function routeNumbers(
  route: v.InferOutput<typeof RouteSchema>,
): Pick<ResultRoute, "mtu" | "advmss" | "priority" | "table" | "scope"> {
  const keys = ["mtu", "advmss", "priority", "table", "scope"] as const;
  return Object.fromEntries(
    keys.flatMap((key) => {
      const value = route[key];
      return value === undefined || value === null ? [] : [[key, value] as const];
    }),
  );
}
