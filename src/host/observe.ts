import * as v from "valibot";
import { type Family, parseAddress } from "../net/address.ts";
import { hostPrefix, type Prefix, parsePrefix } from "../net/prefix.ts";
import type { NetnsPath, RouteSpec } from "../plan/step.ts";
import { HostError } from "./errors.ts";
import type { Host } from "./machine.ts";

const RouteOutput = v.array(
  v.looseObject({
    dst: v.string(),
    gateway: v.optional(v.string()),
    dev: v.optional(v.string()),
    type: v.optional(v.string()),
    nexthops: v.optional(v.array(v.looseObject({ dev: v.optional(v.string()) }))),
    protocol: v.optional(v.string()),
    metric: v.optional(v.number()),
  }),
);

/** Names that iproute2 prints for protocol numbers even with -N absent (/etc/iproute2/rt_protos). */
const PROTOCOLS = new Map([
  ["kernel", 2],
  ["boot", 3],
  ["static", 4],
  ["ra", 9],
  ["dhcp", 16],
]);

/** All routes of the main table of one family. Throws HostError when they can't be read. */
export async function observeRoutes(host: Host, netns: NetnsPath, family: Family): Promise<RouteSpec[]> {
  const text = await run(host, netns, ["ip", "-j", `-${family}`, "route", "show"]);
  const parsed = v.safeParse(RouteOutput, JSON.parse(text.trim() === "" ? "[]" : text));
  if (!parsed.success)
    throw new HostError("`ip -j route show` printed something unknown", "is iproute2 older than 4.14?");
  return parsed.output.flatMap(({ dst, gateway, dev: device, type, nexthops, protocol, metric }) => {
    // A blackhole or multipath route has no link of its own, but `ip route replace` would take its place.
    const dev = device ?? nexthops?.[0]?.dev ?? type;
    const prefix = parseDestination(dst, family);
    const via = gateway === undefined ? null : parseAddress(gateway);
    if (prefix === null || dev === undefined) return [];
    const number = protocol === undefined ? undefined : (PROTOCOLS.get(protocol) ?? Number(protocol));
    return [
      {
        dst: prefix,
        dev,
        ...(via === null ? {} : { via }),
        ...(number === undefined ? {} : { protocol: number }),
        ...(metric === undefined ? {} : { metric }),
      },
    ];
  });
}

/** A destination as `ip -j route` prints it: `default`, an address alone, or a prefix; null for anything else. */
export function parseDestination(text: string, family: Family): Prefix | null {
  if (text === "default") return { address: { family, value: 0n }, length: 0 };
  const address = parseAddress(text);
  return address === null ? parsePrefix(text) : hostPrefix(address);
}

/** The filter table of one family, as `iptables-save` prints it. Throws HostError when it can't be read. */
export function observeFilter(host: Host, netns: NetnsPath, family: Family): Promise<string> {
  return run(host, netns, [family === 4 ? "iptables-save" : "ip6tables-save", "-t", "filter"]);
}

async function run(host: Host, netns: NetnsPath, argv: string[]): Promise<string> {
  const child = await host.spawn({ argv, netns });
  if (child.exitCode === 0) return child.stdout;
  throw new HostError(`\`${argv.join(" ")}\` failed: ${child.stderr.trim()}`, "run it by hand to see more");
}
