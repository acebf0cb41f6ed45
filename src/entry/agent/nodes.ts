import { type Connection, openConnection } from "../../kube/connection.ts";
import { watchNodeFile } from "../../kube/node-file.ts";
import type { NodeListener, NodeSource } from "../../kube/source.ts";
import { watchNodeApi } from "../../kube/watch.ts";
import type { Heartbeat } from "./health.ts";
import type { Journal } from "./journal.ts";
import type { Known } from "./known.ts";
import type { Metrics } from "./metrics.ts";
import type { Publisher } from "./publish.ts";
import type { AgentSettings } from "./settings.ts";

/** The Nodes as they are known now. */
export interface KnownNodes {
  now(): Known;
  /** What the API says of NetworkUnavailable on our own Node; undefined: not heard yet. */
  networkUnavailable(): boolean | null | undefined;
  /** Null: the Nodes come from a file. */
  readonly connection: Connection | null;
  close(): void;
}

/** How long the source may take before what is on disk has to do, in milliseconds. */
const PATIENCE_MS = 3_000;

/**
 * Follows the Nodes and calls `onChange` when something of it is news. Until the source has given its first list, and
 * it fails or takes long, the last known Nodes on disk stand in: with them something can be added, and nothing removed.
 */
export function openNodes(
  settings: Pick<AgentSettings, "node" | "nodesFile" | "kubeconfig" | "dataDir">,
  parts: {
    readonly journal: Journal;
    readonly metrics: Pick<Metrics, "apiEvent" | "watch">;
    readonly publisher: Pick<Publisher, "recall">;
    readonly heartbeat: Heartbeat;
  },
  onChange: () => void,
): KnownNodes {
  let known: Known = { snapshot: null, isLive: false, fault: null };
  let unavailable: boolean | null | undefined;
  const recall = () => {
    if (known.snapshot !== null) return;
    const snapshot = parts.publisher.recall();
    if (snapshot === null) return;
    parts.journal.info("last known Nodes", { count: snapshot.nodes.length, folder: settings.dataDir });
    known = { ...known, snapshot };
    onChange();
  };
  const timer = setTimeout(recall, PATIENCE_MS);
  const listener: NodeListener = {
    snapshot: (snapshot) => {
      known = { snapshot, isLive: true, fault: known.fault };
      onChange();
    },
    state: (fault) => {
      if (fault === known.fault) return;
      known = { ...known, fault };
      if (fault !== null) {
        recall();
        parts.metrics.watch(false);
      }
      onChange();
    },
    beat: () => parts.heartbeat.beat(),
    count: (what) => {
      parts.metrics.apiEvent(what);
      if (what === "watch") parts.metrics.watch(true);
    },
    ownNetworkUnavailable: (is) => {
      unavailable = is;
      onChange();
    },
  };
  const options = { self: settings.node };
  const connection =
    settings.nodesFile === null
      ? openConnection({ kubeconfig: settings.kubeconfig, env: process.env })
      : null;
  const source: NodeSource =
    connection === null
      ? watchNodeFile(settings.nodesFile ?? "", listener, options)
      : watchNodeApi(connection, listener, options);
  return {
    now: () => known,
    networkUnavailable: () => unavailable,
    connection,
    close: () => {
      clearTimeout(timer);
      source.close();
    },
  };
}
