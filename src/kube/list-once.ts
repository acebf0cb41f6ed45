import type { NodeSnapshot } from "../net/node.ts";
import type { Connection } from "./connection.ts";
import { listNodes } from "./list.ts";
import { readList } from "./list-reader.ts";
import { type NodeState, parseNodeState } from "./node-state.ts";
import { type NodeTable, openNodeTable } from "./node-table.ts";
import { lineOf } from "./request.ts";

/** All Nodes at one moment, with what else is known of each. */
export interface ClusterList {
  readonly snapshot: NodeSnapshot;
  readonly states: ReadonlyMap<string, NodeState>;
}

/** Nodes a page, as the agent asks for them. */
const PAGE_SIZE = 500;

/** Reads the text of a NodeList. Throws SyntaxError when it is none. */
export function listOf(text: string): ClusterList {
  const { table, states } = openStates();
  const draft = table.begin();
  const reader = readList((value) => draft.add(value));
  reader.push(new TextEncoder().encode(text));
  reader.finish();
  draft.take();
  return { snapshot: table.snapshot(), states };
}

/** Asks the API once, for at most so many milliseconds. Throws Error with one whole line. */
export async function listFromApi(connection: Connection, timeoutMs: number): Promise<ClusterList> {
  const { table, states } = openStates();
  const limits = { pageSize: PAGE_SIZE, headersTimeoutMs: timeoutMs, silenceTimeoutMs: timeoutMs };
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await listNodes(connection, table, limits, signal);
  } catch (error) {
    const isLate = signal.aborted;
    throw new Error(
      isLate ? `${connection.name}: no whole list within ${timeoutMs / 1000} s` : lineOf(error, connection),
    );
  }
  return { snapshot: table.snapshot(), states };
}

/** A table that keeps the states of what is added to it. */
function openStates(): { readonly table: NodeTable; readonly states: Map<string, NodeState> } {
  const inner = openNodeTable(null);
  const states = new Map<string, NodeState>();
  const begin = () => {
    states.clear();
    const draft = inner.begin();
    return {
      ...draft,
      add: (value: unknown) => {
        const state = parseNodeState(value);
        if (state !== null) states.set(state.name, state);
        return draft.add(value);
      },
    };
  };
  return { table: { ...inner, begin }, states };
}
