import type { ExecutorChoice } from "../../host/engine.ts";
import type { Host } from "../../host/machine.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Backend } from "../../topology/path.ts";
import { runCommand } from "../output/command.ts";
import { createAgentCommand } from "./settings-options.ts";

/** All that an administrator can choose about the agent. Times in milliseconds. */
export interface AgentSettings {
  /** Name of our own Node. */
  readonly node: string;
  /** A NodeList file; null: the Kubernetes API. */
  readonly nodesFile: string | null;
  /** Null: the ServiceAccount of the pod. */
  readonly kubeconfig: string | null;
  readonly backend: Backend;
  readonly vni: number;
  readonly vxlanPort: number;
  /** Of a family without one: the pod CIDRs of all Nodes. */
  readonly clusterCidrs: readonly Prefix[];
  readonly nonMasqueradeCidrs: readonly Prefix[];
  readonly masquerade: boolean;
  /** Whether what pods send to the addresses of other nodes is masqueraded as well. */
  readonly masqueradeNodes: boolean;
  /** Bytes for pods; 0: detect. */
  readonly mtu: number;
  readonly stateDir: string;
  readonly dataDir: string;
  /** Empty: no conflist is written. */
  readonly confDir: string;
  /** `HOST:PORT`; empty: nothing listens. */
  readonly listen: string;
  /** The page for people, as `listen`; empty: none. */
  readonly page: string;
  readonly resyncPeriodMs: number;
  /** 0: leaked attachments are left. */
  readonly leakGraceMs: number;
  readonly nodeCondition: boolean;
  /** Who makes changes of links, addresses and routes. */
  readonly executor: ExecutorChoice;
  readonly logFormat: "text" | "json";
  /** One pass, then the end. */
  readonly once: boolean;
  /** Print what a pass would change; change nothing. */
  readonly dryRun: boolean;
}

/** The command line and environment as settings; a number: the exit code to end with (help, or misuse, which was told). */
export async function parseSettings(
  args: readonly string[],
  host: Host,
  print: (text: string) => void,
): Promise<AgentSettings | number> {
  const command = createAgentCommand().action(() => undefined);
  const ended = await runCommand(command, args, host, { print, width: null });
  if (ended !== null) return ended;
  const found = command.opts<RawOptions>();
  if (found.dryRun && !found.once) {
    host.log("--dry-run prints one pass: use it with --once");
    return 2;
  }
  return {
    node: found.node,
    nodesFile: found.nodes || null,
    kubeconfig: found.kubeconfig || null,
    backend: found.backend,
    vni: found.vni,
    vxlanPort: found.vxlanPort,
    clusterCidrs: found.clusterCidrs,
    nonMasqueradeCidrs: found.nonMasqueradeCidrs,
    masquerade: found.masquerade,
    masqueradeNodes: found.masqueradeNodes,
    mtu: found.mtu,
    stateDir: found.stateDir,
    dataDir: found.dataDir,
    confDir: found.confDir,
    listen: found.listen,
    page: found.page,
    resyncPeriodMs: found.resyncPeriod * 1000,
    leakGraceMs: found.leakGrace * 1000,
    nodeCondition: found.nodeCondition,
    executor: found.executor,
    logFormat: found.logFormat,
    once: found.once,
    dryRun: found.dryRun,
  };
}

interface RawOptions
  extends Omit<AgentSettings, "nodesFile" | "kubeconfig" | "resyncPeriodMs" | "leakGraceMs"> {
  readonly nodes?: string;
  readonly kubeconfig?: string;
  readonly resyncPeriod: number;
  readonly leakGrace: number;
}
