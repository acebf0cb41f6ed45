import type { Backend } from "../../topology/path.ts";

/** Ways to peers that are measured; `auto` is one of them or both. */
export const PATH_BACKENDS = ["host-gw", "vxlan"] as const satisfies readonly Backend[];
export type PathBackend = (typeof PATH_BACKENDS)[number];
