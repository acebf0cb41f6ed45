import type { RouteDiffFactory } from "../../../plan/route-changes.ts";
import { createRouteDiff } from "../../../wasm/routes.ts";
import { createMapRouteDiff } from "./map.ts";
import { createTwinRouteDiff } from "./twin.ts";

/** One way to compute the route diff. */
export interface Engine {
  /** Its name in the results. */
  readonly subject: string;
  readonly create: RouteDiffFactory;
}

/** The one that ships; the others are told by how many times as long they take. */
export const REFERENCE = "WASM";
/** The same algorithm on typed arrays. */
export const TWIN = "typed arrays";
/** As one writes it first. */
export const MAP = "Map of strings";

/** In the order in which they take turns. */
export const ENGINES: readonly Engine[] = [
  { subject: REFERENCE, create: createRouteDiff },
  { subject: TWIN, create: createTwinRouteDiff },
  { subject: MAP, create: createMapRouteDiff },
];
