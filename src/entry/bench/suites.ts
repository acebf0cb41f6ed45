import { FAMILIES, type Family } from "../../net/address.ts";
import type { Suite } from "./context.ts";
import type { SuiteName } from "./measure.ts";

/** What of the routes is measured; `nodes` absent: the usual cluster sizes. */
export interface RoutesChoice {
  readonly nodes?: readonly number[];
  readonly families: readonly Family[];
  readonly kernel: boolean;
}

/** All of it. */
export const ALL_ROUTES: RoutesChoice = { families: FAMILIES, kernel: true };

/** Loads a suite: only now, because the processes that the benchmarks start must not have its code in them. */
export async function loadSuite(name: SuiteName, routes: RoutesChoice): Promise<Suite> {
  switch (name) {
    case "alloc":
      return (await import("./alloc/suite.ts")).measureAlloc;
    case "routes":
      return (await import("./routes/suite.ts")).createRoutesSuite({
        ...routes,
        nodes: routes.nodes ?? null,
      });
    case "cni":
      return (await import("./cni/suite.ts")).measureCni;
    case "network":
      return (await import("./network/suite.ts")).measureNetwork;
  }
}
