import * as v from "valibot";
import { parseJson } from "../../../host/json.ts";
import type { Host } from "../../../host/machine.ts";

/** What the runtime keeps of an ADD (libcni's cache, of containerd and CRI-O alike) until its DEL. */
export interface CachedAdd {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string | null;
  readonly pod: { readonly namespace: string; readonly name: string } | null;
}

/** `cniArgs` as libcni writes them; `netns` since its version 1.2, the sandbox of the result before. */
const CacheSchema = v.object({
  kind: v.literal("cniCacheV1"),
  containerId: v.string(),
  ifName: v.string(),
  networkName: v.string(),
  netns: v.optional(v.string(), ""),
  cniArgs: v.optional(v.nullable(v.array(v.array(v.string()))), []),
  result: v.optional(v.unknown()),
});
const ResultSchema = v.object({
  interfaces: v.optional(v.array(v.object({ name: v.string(), sandbox: v.optional(v.string(), "") })), []),
});

/** What the runtime keeps of all ADDs. */
export interface RuntimeCache {
  readonly adds: readonly CachedAdd[];
  /** `network-containerID-ifname` of each, also of those that can't be read (empty after a power cut, cni#1055). */
  readonly names: ReadonlySet<string>;
}

/**
 * Every ADD that the runtime keeps the result of, below `<cacheDir>/results` (or `cache/results`, of some versions); null:
 * this runtime keeps none, or they can't be read, so that one that is missing says nothing.
 */
export function readRuntimeCache(
  cacheDir: string,
  host: Pick<Host, "listFolder" | "readFile">,
): RuntimeCache | null {
  const adds: CachedAdd[] = [];
  const names = new Set<string>();
  for (const folder of [`${cacheDir}/results`, `${cacheDir}/cache/results`]) {
    try {
      for (const name of host.listFolder(folder)) {
        names.add(name);
        const cached = parseCached(host.readFile(`${folder}/${name}`));
        if (cached !== null) adds.push(cached);
      }
    } catch {
      return null;
    }
  }
  return names.size === 0 ? null : { adds, names };
}

/** Whether the runtime keeps the result of an attachment's ADD; an empty ifname stands for any. */
export function isCached(
  { names }: RuntimeCache,
  { network, containerId, ifname }: Pick<CachedAdd, "network" | "containerId" | "ifname">,
): boolean {
  const start = `${network}-${containerId}-`;
  return ifname === "" ? [...names].some((name) => name.startsWith(start)) : names.has(start + ifname);
}

function parseCached(text: string | null): CachedAdd | null {
  const parsed = v.safeParse(CacheSchema, parseJson(text ?? ""));
  if (!parsed.success) return null;
  const { containerId, ifName, networkName, netns, cniArgs, result } = parsed.output;
  const interfaces = v.safeParse(ResultSchema, result);
  const own = interfaces.success
    ? interfaces.output.interfaces.find(({ name }) => name === ifName)
    : undefined;
  const argument = (key: string) => cniArgs?.find(([name]) => name === key)?.[1] ?? "";
  const [namespace, name] = [argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME")];
  return {
    network: networkName,
    containerId,
    ifname: ifName,
    netns: netns || own?.sandbox || null,
    pod: name === "" ? null : { namespace, name },
  };
}
