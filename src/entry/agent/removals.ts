import type { RouteChanges } from "../../plan/route-changes.ts";
import { ROUTE_WORDS, type RouteTable, WORD } from "../../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../plan/step.ts";

/** Fewer than this are removed at once: a few nodes that go are daily business. */
const MANY = 10;
/** How long the Nodes must have been saying so before more than half of all peers' routes go. */
const PATIENCE_MS = 60_000;

/** Keeps a list that is complete and wrong (an API server restored from an old backup) from cutting all peers off at once. */
export interface RemovalGuard {
  /** Whether the deletions may be done now; `observed` is the table that the changes are from. */
  allows(changes: RouteChanges, observed: RouteTable): boolean;
}

/** `now`: monotonic milliseconds. */
export function createRemovalGuard(now: () => number): RemovalGuard {
  let since: number | null = null;
  return {
    allows: (changes, observed) => {
      const gone = countGone(changes);
      if (gone < MANY || gone * 2 <= countOwned(observed)) {
        since = null;
        return true;
      }
      since ??= now();
      return now() - since >= PATIENCE_MS;
    },
  };
}

/** Routes to destinations that nobody wants; a second route to a desired one may always go. */
function countGone({ deletions }: RouteChanges): number {
  let count = 0;
  for (let at = 1; at < deletions.length; at += 2) if ((deletions[at] ?? 0) < 0) count++;
  return count;
}

function countOwned({ words }: RouteTable): number {
  let count = 0;
  for (let at = WORD.protocol; at < words.length; at += ROUTE_WORDS)
    if (words[at] === ROUTE_PROTOCOL) count++;
  return count;
}
