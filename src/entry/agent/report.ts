import * as v from "valibot";
import { messageOf } from "../../host/errors.ts";
import { parseJson } from "../../host/json.ts";
import type { Host } from "../../host/machine.ts";

/** Where the agent tells of itself, for `minicni status`, `doctor`, `plan` and its own page. */
export function reportPath(stateDir: string): string {
  return `${stateDir}/agent.json`;
}

const time = v.string();
const fault = v.nullable(v.string());

/**
 * What the agent last said of itself (docs/cli.md has it for readers). Times are RFC 3339. Lists are whole; texts are one
 * line each.
 */
export const AgentReportSchema = v.object({
  version: v.literal(1),
  /** Version of the program. */
  minicni: v.string(),
  pid: v.number(),
  bootId: v.string(),
  startedAt: time,
  /** When this was written: at each change, and at least every 15 s while the agent lives. */
  writtenAt: time,
  /** Null once the agent has ended as it was told to. */
  stoppedAt: v.nullable(time),
  /** As in AgentSettings, prefixes as text. */
  settings: v.object({
    node: v.string(),
    nodesFile: v.nullable(v.string()),
    kubeconfig: v.nullable(v.string()),
    backend: v.picklist(["auto", "host-gw", "vxlan"]),
    vni: v.number(),
    vxlanPort: v.number(),
    clusterCidrs: v.array(v.string()),
    nonMasqueradeCidrs: v.array(v.string()),
    masquerade: v.boolean(),
    masqueradeNodes: v.boolean(),
    mtu: v.number(),
    stateDir: v.string(),
    dataDir: v.string(),
    confDir: v.string(),
    listen: v.string(),
    resyncPeriodMs: v.number(),
    leakGraceMs: v.number(),
    nodeCondition: v.boolean(),
    executor: v.picklist(["auto", "netlink", "iproute2"]),
  }),
  nodes: v.object({
    /** `file /path`, `in-cluster ServiceAccount`, `kubeconfig /path`. */
    source: v.string(),
    isLive: v.boolean(),
    /** When the source last gave a list or a change; null: not in this run. */
    heardAt: v.nullable(time),
    known: v.number(),
    /** Nodes left out. */
    faulty: v.array(v.object({ node: v.string(), message: v.string() })),
    fault,
  }),
  peers: v.array(
    v.object({
      name: v.string(),
      addresses: v.array(v.string()),
      podCidrs: v.array(v.string()),
      /** Of its first pod CIDR; `none`: not reached, and `fault` says why. */
      path: v.picklist(["direct", "tunnel", "none"]),
      fault,
    }),
  ),
  routes: v.array(v.object({ family: v.picklist([4, 6]), desired: v.number(), programmed: v.number() })),
  /** Foreign routes in the place of ours. */
  conflicts: v.array(v.string()),
  rules: v.object({
    variant: v.nullable(v.picklist(["nft", "legacy"])),
    faults: v.array(v.string()),
    warnings: v.array(v.string()),
  }),
  tunnels: v.array(v.object({ name: v.string(), underlay: v.picklist([4, 6]) })),
  podCidrs: v.array(v.string()),
  /** Addresses of complete attachments on this node, at most 8: whom `minicni connectivity` on another node may ask. */
  pods: v.optional(v.array(v.string())),
  clusterCidrs: v.array(v.string()),
  /** Bytes of a pod's link; 0: not known yet. */
  mtu: v.number(),
  readiness: v.array(v.object({ name: v.string(), fault, warning: v.nullable(v.string()) })),
  loops: v.array(v.object({ name: v.string(), fault })),
  lastSyncAt: v.nullable(time),
  /** The last ones, oldest first. */
  repairs: v.array(
    v.object({
      at: time,
      object: v.string(),
      cause: v.string(),
      count: v.number(),
      /** What was done, as the log has it. */
      change: v.string(),
    }),
  ),
});
export type AgentReport = v.InferOutput<typeof AgentReportSchema>;

/** What the agent of this node last said; `fault`: why there is nothing to read. */
export type ReadReport =
  | { readonly report: AgentReport; readonly fault: null }
  | { readonly report: null; readonly fault: string };

/** Reads what the agent of this node wrote. Never throws. */
export function readReport(stateDir: string, host: Pick<Host, "readFile">): ReadReport {
  const path = reportPath(stateDir);
  try {
    const text = host.readFile(path);
    if (text === null) return { report: null, fault: `no agent has written ${path}` };
    return parseReport(text, path);
  } catch (error) {
    return { report: null, fault: `${path} can't be read: ${messageOf(error)}` };
  }
}

/** Reads a report from a file or from another node; `name`: how to call it. */
export function parseReport(text: string, name: string): ReadReport {
  const parsed = v.safeParse(AgentReportSchema, parseJson(text));
  if (parsed.success) return { report: parsed.output, fault: null };
  const place = parsed.issues[0].path?.map(({ key }) => String(key)).join(".") ?? "the whole";
  return { report: null, fault: `${name} is no report of an agent of this version (${place})` };
}
