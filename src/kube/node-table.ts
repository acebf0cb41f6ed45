import type { NodeFault, NodeSnapshot } from "../net/node.ts";
import { networkUnavailableOf, parseNode } from "./node-fields.ts";
import { type NodeEntry, toEntry, toSnapshot } from "./snapshot.ts";

/** What one update did: "irrelevant" changed nothing that is read here. */
export type Outcome = "event" | "irrelevant" | "malformed";

interface Known {
  readonly key: string;
  readonly entry: NodeEntry;
}

/** All Nodes as last heard, each judged once and again only when what is read of it has changed. */
export interface NodeTable {
  /** Starts a list: `add` each Node, then `take`. */
  readonly begin: () => NodeDraftWriter;
  /** A Node was added or changed. */
  readonly upsert: (value: unknown) => Outcome;
  /** A Node was deleted; `value` is its last state. */
  readonly remove: (value: unknown) => Outcome;
  readonly snapshot: () => NodeSnapshot;
  /** NetworkUnavailable of the own Node; null when unknown. */
  readonly own: () => boolean | null;
}

/** Fills a table from a list. */
export interface NodeDraftWriter {
  /** Says what is wrong with a Node that has no name and so can't be kept; null when it was kept. */
  readonly add: (value: unknown) => string | null;
  /** Puts the list in place of everything known. True when that changes what is known. */
  readonly take: () => boolean;
}

/** How a Node is called that has no name. */
const NAMELESS = "(no name)";

/** An empty table; `self` is the name of the own Node, the only one whose condition is looked at. */
export function openNodeTable(self: string | null): NodeTable {
  let nodes = new Map<string, Known>();
  let doubles: readonly Known[] = [];
  let nameless: readonly NodeFault[] = [];
  let own: boolean | null = null;

  const judge = (value: unknown) => {
    const item = parseNode(value);
    if (item.kind === "nameless") return item;
    const { name } = item.fields;
    const before = nodes.get(name);
    const isSame = before?.key === item.key;
    const known = isSame ? before : { key: item.key, entry: toEntry(item.fields) };
    return { kind: "node", name, known, isSame, isMalformed: item.fields.malformed !== null } as const;
  };

  const begin = (): NodeDraftWriter => {
    const draft = new Map<string, Known>();
    const draftDoubles: Known[] = [];
    const draftNameless: NodeFault[] = [];
    let draftOwn: boolean | null = null;
    return {
      add: (value) => {
        const judged = judge(value);
        if (judged.kind === "nameless") {
          draftNameless.push({ node: NAMELESS, message: judged.message });
          return judged.message;
        }
        const before = draft.get(judged.name);
        if (before === undefined) draft.set(judged.name, judged.known);
        // The same Node twice, in all that is read of it, is no contradiction.
        else if (before.key !== judged.known.key) draftDoubles.push(judged.known);
        if (judged.name === self) draftOwn = networkUnavailableOf(value);
        return null;
      },
      take: () => {
        const isSame =
          draft.size === nodes.size &&
          [...draft].every(([name, { key }]) => nodes.get(name)?.key === key) &&
          textOf(draftDoubles, draftNameless) === textOf(doubles, nameless);
        nodes = draft;
        doubles = draftDoubles;
        nameless = draftNameless;
        own = draftOwn;
        return !isSame;
      },
    };
  };

  return {
    begin,
    upsert: (value) => {
      const judged = judge(value);
      if (judged.kind === "nameless") {
        nameless = [{ node: NAMELESS, message: judged.message }];
        return "malformed";
      }
      if (judged.name === self) own = networkUnavailableOf(value);
      if (judged.isSame) return "irrelevant";
      nodes.set(judged.name, judged.known);
      return judged.isMalformed ? "malformed" : "event";
    },
    remove: (value) => {
      const item = parseNode(value);
      if (item.kind === "nameless") return "malformed";
      if (item.fields.name === self) own = null;
      return nodes.delete(item.fields.name) ? "event" : "irrelevant";
    },
    snapshot: () => {
      const { nodes: good, faults } = toSnapshot([...nodes.values(), ...doubles].map(({ entry }) => entry));
      return { nodes: good, faults: [...faults, ...nameless] };
    },
    own: () => own,
  };
}

function textOf(doubles: readonly Known[], nameless: readonly NodeFault[]): string {
  return JSON.stringify([doubles.map(({ key }) => key), nameless]);
}
