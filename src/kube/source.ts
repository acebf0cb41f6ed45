import type { NodeSnapshot } from "../net/node.ts";

/** What a source counts, for metrics. */
export type SourceEvent =
  /** A first list. */
  | "list"
  /** A later list: the watch could not go on from where it was. */
  | "relist"
  /** A watch that the server accepted. */
  | "watch"
  /** A change of a Node that matters to us. */
  | "event"
  /** A change of a Node in fields that nobody here reads. */
  | "irrelevant"
  | "bookmark"
  /** A line or Node that is not what the API promises. */
  | "malformed"
  /** A request or a reading of the file that failed. */
  | "error";

/** Who is told what a source sees. Nothing of this may throw. */
export interface NodeListener {
  /** A whole and complete list; the only thing on whose strength anything may be removed. */
  readonly snapshot: (snapshot: NodeSnapshot) => void;
  /** Null: the source works; else why not, in one line. Called at every success and failure, changed or not. */
  readonly state: (fault: string | null) => void;
  /** The source's loop is alive: called at least every 10 s, whatever the API does. */
  readonly beat: () => void;
  readonly count: (what: SourceEvent) => void;
  /**
   * The NetworkUnavailable condition of the own Node (`self` of the options), told when it changes and before the
   * snapshot of the same change: true, false, or null when the Node has none or says "Unknown".
   */
  readonly ownNetworkUnavailable?: (unavailable: boolean | null) => void;
}

/** A running source. */
export interface NodeSource {
  /** At once: open requests are aborted, no timer is left, and the listener hears nothing more. */
  close(): void;
}
