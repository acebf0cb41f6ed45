import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { openConnection } from "../../kube/connection.ts";
import { type ClusterList, listFromApi, listOf } from "../../kube/list-once.ts";
import type { NodeState } from "../../kube/node-state.ts";
import type { NodeSnapshot } from "../../net/node.ts";
import type { AgentReport } from "../agent/report.ts";

/** Where to look for the Nodes; null: not told. */
export interface NodesChoice {
  /** A NodeList file. */
  readonly nodesFile: string | null;
  readonly kubeconfig: string | null;
  /** Folder of the last known Nodes. */
  readonly dataDir: string;
}

/** The Nodes as they could be had. */
export interface KnownCluster {
  /** Null: nowhere. */
  readonly snapshot: NodeSnapshot | null;
  /** What else the source says of each Node; empty where it says nothing. */
  readonly states: ReadonlyMap<string, NodeState>;
  /** `file /path`, `kubeconfig /path`, `in-cluster ServiceAccount`, `last known Nodes /path`; null: no source at all. */
  readonly source: string | null;
  /** A list of now, not one that was kept. */
  readonly isLive: boolean;
  /** Why a better source was of no use; null when the first one was. */
  readonly fault: string | null;
}

const API_TIMEOUT_MS = 5_000;

/**
 * The Nodes, once: from what was chosen, else from where this node's agent has them, else from the API where we run in a
 * pod, else the last known ones on disk. Never throws: what was tried in vain is in `fault`.
 */
export async function readCluster(
  choice: NodesChoice,
  agent: AgentReport | null,
  host: Pick<Host, "readFile">,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<KnownCluster> {
  const faults: string[] = [];
  for (const source of sourcesOf(choice, agent, env)) {
    try {
      const { snapshot, states } = await source.list(host);
      const fault = faults.length === 0 ? null : faults.join("; ");
      return { snapshot, states, source: source.name, isLive: source.isLive, fault };
    } catch (error) {
      faults.push(messageOf(error));
    }
  }
  return { snapshot: null, states: new Map(), source: null, isLive: false, fault: faults.join("; ") };
}

interface Source {
  readonly name: string;
  readonly isLive: boolean;
  list(host: Pick<Host, "readFile">): ClusterList | Promise<ClusterList>;
}

function sourcesOf(
  { nodesFile, kubeconfig, dataDir }: NodesChoice,
  agent: AgentReport | null,
  env: Readonly<Record<string, string | undefined>>,
): Source[] {
  const isChosen = nodesFile !== null || kubeconfig !== null;
  const file = nodesFile ?? (isChosen ? null : (agent?.settings.nodesFile ?? null));
  const config = kubeconfig ?? (isChosen ? null : (agent?.settings.kubeconfig ?? null));
  const isInPod = Boolean(env.KUBERNETES_SERVICE_HOST) && !isChosen && file === null && config === null;
  const kept = `${agent?.settings.dataDir ?? dataDir}/nodes.json`;
  return [
    ...(file === null ? [] : [fromFile(`file ${file}`, file, true)]),
    ...(file === null && (config !== null || isInPod) ? [fromApi(config, env)] : []),
    // What somebody named is to be had from there, or not at all.
    ...(isChosen ? [] : [fromFile(`last known Nodes ${kept}`, kept, false)]),
  ];
}

function fromFile(name: string, path: string, isLive: boolean): Source {
  const list = (host: Pick<Host, "readFile">) => {
    const text = host.readFile(path);
    if (text === null) throw new Error(`there is no file ${path}`);
    try {
      return listOf(text);
    } catch (error) {
      throw new Error(`${path}: ${messageOf(error)}`);
    }
  };
  return { name, isLive, list };
}

function fromApi(kubeconfig: string | null, env: Readonly<Record<string, string | undefined>>): Source {
  const connection = openConnection({ kubeconfig, env });
  return { name: connection.name, isLive: true, list: () => listFromApi(connection, API_TIMEOUT_MS) };
}
