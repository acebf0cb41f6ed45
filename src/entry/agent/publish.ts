import { writeDurably } from "../../host/durable.ts";
import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { formatNodeList, parseNodeList } from "../../kube/nodelist.ts";
import type { ClusterNode, NodeSnapshot } from "../../net/node.ts";
import { formatPrefix, type Prefix } from "../../net/prefix.ts";
import { foreignBeforeOurs } from "../../topology/conf-file.ts";
import { CONFLIST_FILE, formatConflist } from "../../topology/conflist.ts";
import { nodePath } from "../node.ts";
import { readConfigs } from "../read.ts";

/** Where the agent writes. */
export interface PublishSettings {
  /** Folder of node.json. */
  readonly stateDir: string;
  /** Folder of the last known Nodes. */
  readonly dataDir: string;
  /** Folder of the conflist; empty: none is written. */
  readonly confDir: string;
}

/** What the plugin has to know of this node. */
export interface PublishedState {
  readonly ready: boolean;
  /** Why not ready; null when ready. */
  readonly reason: string | null;
  readonly podCidrs: readonly Prefix[];
  readonly clusterCidrs: readonly Prefix[];
  /** Bytes for a pod's link. */
  readonly mtu: number;
  readonly backend: string;
}

/** What became of one file. */
export interface Publication {
  /** Whether anything was written. */
  readonly changed: boolean;
  /** Why what is on disk is not what should be; null when it is. */
  readonly fault: string | null;
}

/** Writes what others read; nothing of it goes when the agent stops. No function throws. */
export interface Publisher {
  /** node.json, for the plugin. */
  node(state: PublishedState): Publication;
  /**
   * The conflist, by which runtimes take a node for ready: call it last. `before`: configurations of others that a
   * runtime takes in place of ours; they are left alone.
   */
  conflist(): Publication & { readonly before: readonly string[] };
  /** Keeps the Nodes for a start without the API; an empty list is never kept. */
  remember(nodes: readonly ClusterNode[]): Publication;
  /** The Nodes that were kept; null when there are none, or they can't be read. */
  recall(): NodeSnapshot | null;
}

/** Between two writes of the Nodes, in milliseconds: of a cluster that grows by 5,000 Nodes not each state is worth one. */
const REMEMBER_MS = 5_000;
const UNCHANGED: Publication = { changed: false, fault: null };
const NOTHING_SECRET = 0o644;
const ROOT_ONLY = 0o600;

/** A publisher; `now` in milliseconds, never going back. */
export function createPublisher(
  host: Host,
  settings: PublishSettings,
  now: () => number = () => performance.now(),
): Publisher {
  let kept: readonly ClusterNode[] | null = null;
  let keptAt = Number.NEGATIVE_INFINITY;
  let lastFault: string | null = null;
  const nodesFile = `${settings.dataDir}/nodes.json`;
  return {
    node: (state) => {
      const path = nodePath(settings.stateDir);
      // On a tmpfs: there is no power cut to survive.
      return replace(path, formatState(state, host), host, (text) => host.writeFile(path, text));
    },
    conflist: () => {
      const { confDir, stateDir } = settings;
      if (confDir === "") return { ...UNCHANGED, before: [] };
      const path = `${confDir}/${CONFLIST_FILE}`;
      // containerd's watcher looks again at Write, Rename and Remove only (containerd#11715): the temporary name, which no
      // runtime reads, going from this same folder is such a Rename. The folder itself is never replaced, since the
      // watch hangs on its inode (containerd#7196).
      const done = replace(path, formatConflist(stateDir), host, (text) =>
        writeDurably(path, text, NOTHING_SECRET),
      );
      return { ...done, before: before(confDir, host) };
    },
    remember: (nodes) => {
      if (nodes === kept || nodes.length === 0) return UNCHANGED;
      if (now() - keptAt < REMEMBER_MS) return { changed: false, fault: lastFault };
      keptAt = now();
      const done = replace(nodesFile, formatNodeList(nodes), host, (text) =>
        writeDurably(nodesFile, text, ROOT_ONLY),
      );
      if (done.fault === null) kept = nodes;
      lastFault = done.fault;
      return done;
    },
    recall: () => {
      try {
        const text = host.readFile(nodesFile);
        const snapshot = text === null ? null : parseNodeList(text);
        return snapshot === null || snapshot.nodes.length === 0 ? null : snapshot;
      } catch {
        // Torn, or of another hand: as good as none.
        return null;
      }
    },
  };
}

/** The text of node.json (docs/configuration.md). */
export function formatState(state: PublishedState, host: Pick<Host, "bootId">): string {
  const { ready, reason, podCidrs, clusterCidrs, mtu, backend } = state;
  const document = {
    ready,
    ...(reason === null ? {} : { reason }),
    podCidrs: podCidrs.map(formatPrefix),
    clusterCidrs: clusterCidrs.map(formatPrefix),
    mtu,
    backend,
    bootId: host.bootId(),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Writes only what differs: a read-only folder with the right text in it is as good as any. */
function replace(path: string, text: string, host: Host, write: (text: string) => void): Publication {
  try {
    if (readOrNull(path, host) === text) return UNCHANGED;
    write(text);
    return { changed: true, fault: null };
  } catch (error) {
    return { changed: false, fault: `${path} can't be written: ${messageOf(error)}` };
  }
}

/** Text of a file; null where there is none, or it can't be read: such a one is replaced. */
export function readOrNull(path: string, host: Pick<Host, "readFile">): string | null {
  try {
    return host.readFile(path);
  } catch {
    return null;
  }
}

function before(folder: string, host: Host): string[] {
  try {
    // In each pass: what sorts behind ours is not even looked at.
    return foreignBeforeOurs(readConfigs(folder, host, (name) => name < CONFLIST_FILE));
  } catch {
    return [];
  }
}
