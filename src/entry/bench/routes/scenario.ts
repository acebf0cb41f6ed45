import { FAMILIES, type Family } from "../../../net/address.ts";

/** "10,000 routes", as scenarios begin; `nodes`: the cluster with the node itself, to whose own pods there is no route. */
export function nameRoutes(nodes: number, families: readonly Family[]): string {
  return `${group((nodes - 1) * families.length)} routes${familyOf(families)}`;
}

/** "1,000 nodes", as the scenarios of whole passes begin. */
export function nameNodes(nodes: number, families: readonly Family[]): string {
  return `${group(nodes)} nodes${familyOf(families)}`;
}

/** The cluster that has so many routes of all of these families; at least two nodes. */
export function nodesOf(routes: number, families: readonly Family[]): number {
  return Math.max(2, Math.ceil(routes / families.length) + 1);
}

/** Dual stack is what is meant when nothing is said: the names of its scenarios stay short. */
function familyOf(families: readonly Family[]): string {
  return families.length === FAMILIES.length ? "" : ` of IPv${families.join(" and IPv")} alone`;
}

function group(count: number): string {
  return count.toLocaleString("en");
}
