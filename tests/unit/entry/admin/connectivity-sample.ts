import type { Probe } from "../../../../src/entry/admin/connectivity/judge.ts";

/** A probe of this node to n2 that was answered, unless told otherwise. */
export function probeOf(words: Partial<Probe>): Probe {
  const status = words.status ?? "ok";
  return {
    from: "node",
    to: "node",
    peer: "n2",
    address: "10.9.0.2",
    family: 4,
    status,
    rttMs: status === "lost" ? null : 0.25,
    small: status === "lost" ? "silent" : "answered",
    fullBytes: 1500,
    full: status === "lost" ? null : "answered",
    fits: null,
    way: null,
    route: null,
    ...words,
  };
}
