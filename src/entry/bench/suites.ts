import { FAMILIES } from "../../net/address.ts";
import type { Suite } from "./context.ts";
import type { SuiteName } from "./measure.ts";
import type { RoutesOptions } from "./routes/suite.ts";

/** All of it. */
export const ALL_ROUTES: RoutesOptions = { nodes: null, families: FAMILIES, kernel: true };

/** Loads a suite: only now, because the processes that the benchmarks start must not have its code in them. */
export async function loadSuite(name: SuiteName, routes: RoutesOptions): Promise<Suite> {
  switch (name) {
    case "alloc":
      return (await import("./alloc/suite.ts")).measureAlloc;
    case "routes":
      return (await import("./routes/suite.ts")).createRoutesSuite(routes);
    case "cni":
      return (await import("./cni/suite.ts")).measureCni;
    case "network":
      return (await import("./network/suite.ts")).measureNetwork;
  }
}
