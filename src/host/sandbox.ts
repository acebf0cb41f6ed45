import * as v from "valibot";
import { parseDestination } from "../net/destination.ts";
import { formatPrefix, parsePrefix } from "../net/prefix.ts";
import { HostError } from "./errors.ts";
import type { Host } from "./machine.ts";

/** One link of a sandbox; `promisc` and `allmulti`: by somebody's wish. */
export interface SandboxLink {
  readonly mac: string;
  /** Bytes. */
  readonly mtu: number;
  readonly up: boolean;
  readonly promisc: boolean;
  readonly allmulti: boolean;
  /** Packets. */
  readonly txQueueLength: number;
}

/** What is inside a sandbox: one link, its addresses (`address/length`) and all routes by it, `via` null: on-link. */
export interface SandboxState {
  readonly link: SandboxLink | null;
  readonly addresses: readonly string[];
  readonly routes: readonly { readonly dst: string; readonly via: string | null }[];
}

const AddressOutput = v.array(
  v.looseObject({
    ifname: v.optional(v.string()),
    address: v.optional(v.string()),
    mtu: v.optional(v.number()),
    txqlen: v.optional(v.number()),
    flags: v.optional(v.array(v.string())),
    addr_info: v.optional(
      v.array(v.looseObject({ local: v.optional(v.string()), prefixlen: v.optional(v.number()) })),
    ),
  }),
);
const HopOutput = { dev: v.optional(v.string()), gateway: v.optional(v.string()) };
const RouteOutput = v.array(
  v.looseObject({
    dst: v.string(),
    ...HopOutput,
    nexthops: v.optional(v.array(v.looseObject(HopOutput))),
  }),
);

/** Reads one interface of a sandbox through `ip -j`. Throws HostError when the namespace can't be entered. */
export async function observeSandbox(host: Host, netns: string, ifname: string): Promise<SandboxState> {
  const ask = (...words: string[]) => run(host, netns, ["ip", "-j", ...words]);
  // All routes: `dev` would leave out those of several next hops.
  const [links, ...routes] = await Promise.all([
    ask("addr", "show", "dev", ifname),
    ask("-4", "route", "show", "table", "all"),
    ask("-6", "route", "show", "table", "all"),
  ]);
  const [found] = json(AddressOutput, links) ?? [];
  if (found?.ifname === undefined) return { link: null, addresses: [], routes: [] };
  const hasFlag = (flag: string) => found.flags?.includes(flag) ?? false;
  return {
    link: {
      mac: found.address ?? "",
      mtu: found.mtu ?? 0,
      up: hasFlag("UP"),
      promisc: hasFlag("PROMISC"),
      allmulti: hasFlag("ALLMULTI"),
      // Left out where it is 0.
      txQueueLength: found.txqlen ?? 0,
    },
    addresses: (found.addr_info ?? []).flatMap(({ local, prefixlen }) => {
      const prefix = parsePrefix(`${local}/${prefixlen}`);
      return prefix === null ? [] : [formatPrefix(prefix)];
    }),
    routes: routes.flatMap((text, index) =>
      (json(RouteOutput, text) ?? []).flatMap(({ dst, nexthops, ...only }) => {
        const prefix = parseDestination(dst, index === 0 ? 4 : 6);
        const hops = [only, ...(nexthops ?? [])].filter(({ dev }) => dev === ifname);
        return prefix === null
          ? []
          : hops.map(({ gateway }) => ({ dst: formatPrefix(prefix), via: gateway ?? null }));
      }),
    ),
  };
}

/**
 * Values of sysctls in a sandbox, by their path below /proc/sys: the kernel looks them up in the namespace of the reader.
 * Null: there is none of this name. Those that can only be written are left out.
 */
export async function observeSysctls(
  host: Host,
  netns: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, string | null>> {
  const found = new Map<string, string | null>();
  for (const key of keys) {
    const { exitCode, stdout, stderr } = await host.spawn({ argv: ["cat", `/proc/sys/${key}`], netns });
    if (exitCode === 0) found.set(key, stdout.trim());
    else if (/No such file/.test(stderr)) found.set(key, null);
  }
  return found;
}

async function run(host: Host, netns: string, argv: string[]): Promise<string> {
  const child = await host.spawn({ argv, netns });
  if (child.exitCode === 0) return child.stdout;
  if (/does not exist|Cannot find device/.test(child.stderr)) return "[]";
  throw new HostError(
    `\`${argv.join(" ")}\` in ${netns} failed: ${child.stderr.trim()}`,
    "run it by hand to see more",
  );
}

function json<T extends v.GenericSchema>(schema: T, text: string): v.InferOutput<T> | null {
  const parsed = v.safeParse(schema, JSON.parse(text.trim() === "" ? "[]" : text));
  return parsed.success ? parsed.output : null;
}
