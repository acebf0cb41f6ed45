import type { NodeListener, SourceEvent } from "../../../src/kube/source.ts";
import type { NodeSnapshot } from "../../../src/net/node.ts";
import type { RawNode } from "../../twin/apiserver.ts";

/** A listener that writes down what it hears. */
export interface Recorder extends NodeListener {
  readonly snapshots: NodeSnapshot[];
  readonly states: (string | null)[];
  readonly own: (boolean | null)[];
  readonly counts: Map<SourceEvent, number>;
  readonly beats: () => number;
  /** Names of the last snapshot's Nodes in order; null before the first. */
  readonly names: () => string[] | null;
}

export function openRecorder(): Recorder {
  const snapshots: NodeSnapshot[] = [];
  const states: (string | null)[] = [];
  const own: (boolean | null)[] = [];
  const counts = new Map<SourceEvent, number>();
  let beats = 0;
  return {
    snapshots,
    states,
    own,
    counts,
    beats: () => beats,
    names: () =>
      snapshots
        .at(-1)
        ?.nodes.map(({ name }) => name)
        .sort() ?? null,
    snapshot: (snapshot) => snapshots.push(snapshot),
    state: (fault) => states.push(fault),
    beat: () => beats++,
    count: (what) => counts.set(what, (counts.get(what) ?? 0) + 1),
    ownNetworkUnavailable: (unavailable) => own.push(unavailable),
  };
}

const PATIENCE_MS = 20_000;

/** Waits until it holds. Throws with `what` when it does not come true in a generous time. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const startMs = performance.now();
  while (!holds()) {
    if (performance.now() - startMs > PATIENCE_MS) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(5);
  }
}

/** Node number n: its own CIDR and address. */
export function rawNode(n: number, more: Readonly<Record<string, unknown>> = {}): RawNode {
  const cidr = `10.244.${n}.0/24`;
  return {
    metadata: { name: `node-${n}` },
    spec: { podCIDR: cidr, podCIDRs: [cidr] },
    status: { addresses: [{ type: "InternalIP", address: `192.168.0.${n}` }] },
    ...more,
  };
}

/** Short times for everything that an agent is patient about. */
export const HASTE = {
  startJitterMs: 0,
  quietMs: 5,
  maxQuietMs: 50,
  backoffMinMs: 5,
  backoffMaxMs: 40,
  steadyMs: 100,
};
