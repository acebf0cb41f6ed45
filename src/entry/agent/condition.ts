import { patchNodeCondition } from "../../kube/condition.ts";
import type { KnownNodes } from "./nodes.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";

/** Between two tries, in milliseconds. */
const PERIOD_MS = 30_000;

/**
 * Keeps NetworkUnavailable=False on our own Node once we are ready, where that is wished: some clouds taint a Node until
 * somebody says so, and a condition that was said once gets lost (cilium#16846). Never says True: pods that are there
 * go on when the agent stops.
 */
export function createCondition(
  settings: AgentSettings,
  nodes: KnownNodes,
  { health, journal }: Voices,
  now: () => number,
): { look(): void } {
  const { connection } = nodes;
  let nextAt = 0;
  let isBusy = false;
  return {
    look: () => {
      if (!settings.nodeCondition || connection === null || isBusy || now() < nextAt) return;
      const unavailable = nodes.networkUnavailable();
      if (unavailable === undefined || unavailable === false || !health.isReady()) return;
      isBusy = true;
      nextAt = now() + PERIOD_MS;
      const said = { unavailable: false, reason: "MinicniIsUp", message: "minicni is running on this node" };
      patchNodeCondition(connection, settings.node, said)
        .then((fault) => {
          journal.state("node condition", fault);
          if (fault === null) journal.info("node condition", { change: "NetworkUnavailable=False" });
        })
        .catch((error) => journal.state("node condition", String(error)))
        .finally(() => {
          isBusy = false;
        });
    },
  };
}
