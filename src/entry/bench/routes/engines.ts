import type { RouteDiffFactory } from "../../../plan/route-changes.ts";

/** What a command line calls the engines: the one that ships, and its rivals, in the order in which they take turns. */
export const ENGINES = ["wasm", "twin", "map"] as const;
export type EngineName = (typeof ENGINES)[number];

/** Their names in the results: the same algorithm on typed arrays; as one writes it first. */
export const SUBJECTS: Readonly<Record<EngineName, string>> = {
  wasm: "WASM",
  twin: "typed arrays",
  map: "Map of strings",
};
/** The others are told by how many times as long they take. */
export const REFERENCE = SUBJECTS.wasm;

/** Loads an engine. Only now, and it alone: what loading takes is part of what a fresh process pays. */
export async function loadEngine(name: EngineName): Promise<RouteDiffFactory> {
  switch (name) {
    case "wasm":
      return (await import("../../../wasm/routes.ts")).createRouteDiff;
    case "twin":
      return (await import("./twin.ts")).createTwinRouteDiff;
    case "map":
      return (await import("./map.ts")).createMapRouteDiff;
  }
}
