import type { Connection } from "./connection.ts";
import { readList } from "./list-reader.ts";
import type { NodeTable } from "./node-table.ts";
import { ApiFault, type ApiRequest, ask } from "./request.ts";

/** Where the Nodes are. */
export const NODES_PATH = "/api/v1/nodes";

/** Bounds of a list. */
export interface ListLimits {
  /** Nodes a page: 500 of 15 kB are 7.5 MB, what client-go's pager asks for too (tools/pager `defaultPageSize`). */
  readonly pageSize: number;
  readonly headersTimeoutMs: number;
  readonly silenceTimeoutMs: number;
}

/** More Nodes than any cluster has, by far: a server that always gives a next page must not fill our memory. */
const MAX_NODES = 200_000;

/** What a whole list said. */
export interface ListOutcome {
  /** Where a watch may start. */
  readonly resourceVersion: string;
  /** Whether the table knows something else now. */
  readonly isChanged: boolean;
  /** Nodes without a name, left out. */
  readonly nameless: number;
}

/**
 * Lists all Nodes, page by page, and puts them in place of what the table has once the last page was whole. The first
 * page asks for the newest state (no resourceVersion), never for a cached one: on its strength routes are removed.
 * When a continue token has become too old, all is asked for once more in one unpaged answer, as client-go does
 * (tools/pager): in a busy cluster, page by page may never end. Throws ApiFault.
 */
export async function listNodes(
  connection: Connection,
  table: NodeTable,
  limits: ListLimits,
  signal: AbortSignal,
): Promise<ListOutcome> {
  try {
    return await listPages(connection, table, limits, signal);
  } catch (error) {
    if (!(error instanceof TokenExpired)) throw error;
    return listPages(connection, table, { ...limits, pageSize: 0 }, signal);
  }
}

/** A continue token has become too old. */
class TokenExpired extends Error {}

/** One try; all Nodes in one answer when the page size is 0. */
async function listPages(
  connection: Connection,
  table: NodeTable,
  limits: ListLimits,
  signal: AbortSignal,
): Promise<ListOutcome> {
  const draft = table.begin();
  let nodes = 0;
  let nameless = 0;
  for (let token: string | null = null; ; ) {
    const query: Record<string, string> = {
      ...(limits.pageSize === 0 ? {} : { limit: `${limits.pageSize}` }),
      ...(token === null ? {} : { continue: token }),
    };
    const request: ApiRequest = { method: "GET", path: NODES_PATH, query, ...limits };
    const isContinued = token !== null;
    const answer = await ask(connection, request, signal).catch((error: unknown) => {
      throw isContinued && error instanceof ApiFault && error.status === 410 ? new TokenExpired() : error;
    });
    const reader = readList((value) => {
      nodes++;
      if (nodes > MAX_NODES) throw new ApiFault(`${answer.name}: the list has no end`, null, null);
      if (draft.add(value) !== null) nameless++;
    });
    const before = nodes;
    await answer.read(reader.push);
    const { next, resourceVersion } = whole(answer.name, reader.finish);
    if (next === null) {
      if (resourceVersion === null)
        throw new ApiFault(`${answer.name}: the list has no resourceVersion`, null, null);
      return { resourceVersion, isChanged: draft.take(), nameless };
    }
    if (next === token || nodes === before) {
      throw new ApiFault(`${answer.name}: the pages of the list have no end`, null, null);
    }
    token = next;
  }
}

function whole<T>(name: string, finish: () => T): T {
  try {
    return finish();
  } catch (error) {
    throw error instanceof SyntaxError ? new ApiFault(`${name}: ${error.message}`, null, null) : error;
  }
}
