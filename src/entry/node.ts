import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { Host } from "../host/machine.ts";
import { type Prefix, parsePrefix } from "../net/prefix.ts";

/** Not there in a kernel that runs without IPv6. */
export const IPV6_FORWARDING = "/proc/sys/net/ipv6/conf/all/forwarding";

/** What the agent published about this node in `<stateDir>/node.json`. */
export interface PublishedNode {
  readonly path: string;
  /** As text: they are parsed, and refused by name, with all other ranges. */
  readonly podCidrs: readonly string[];
  /** Where pods of the whole cluster live: traffic to these keeps its source address. */
  readonly clusterCidrs: readonly Prefix[];
  /** Null: ready; else why not. */
  readonly notReady: string | null;
}

/** Reads node.json. Throws code 11 when it is not there yet or can't be read. */
export function readNode(stateDir: string, host: Host): PublishedNode {
  const path = `${stateDir}/node.json`;
  const found = findNode(stateDir, host);
  if (found !== null) return found;
  throw new CniError(
    CNI_CODE.tryAgainLater,
    `no ipam in the configuration and no ${path}`,
    "wait for the minicni agent, or configure ipam",
  );
}

/** Reads node.json where there is one; null without. Throws code 11 when it is damaged. */
export function findNode(stateDir: string, host: Host): PublishedNode | null {
  const path = `${stateDir}/node.json`;
  const text = host.readFile(path);
  if (text === null) return null;
  const value = parse(text, path);
  const isReady = !("ready" in value) || value.ready !== false;
  const reason = "reason" in value && value.reason ? String(value.reason) : "the agent says so";
  return {
    path,
    podCidrs: strings("podCidrs" in value ? value.podCidrs : null),
    clusterCidrs: strings("clusterCidrs" in value ? value.clusterCidrs : null).flatMap(
      (cidr) => parsePrefix(cidr) ?? [],
    ),
    notReady: isReady ? null : reason,
  };
}

function parse(text: string, path: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Told below.
  }
  throw new CniError(CNI_CODE.tryAgainLater, `${path} is not a JSON object`, "restart the minicni agent");
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
