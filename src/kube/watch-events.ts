import * as v from "valibot";
import { resourceVersionOf } from "./node-fields.ts";
import type { NodeTable, Outcome } from "./node-table.ts";

/** One line of a watch, and what became of it. */
export type WatchStep =
  /** The table heard of it; `resourceVersion` is where a later watch may start, null when the object has none. */
  | { readonly kind: "change"; readonly outcome: Outcome; readonly resourceVersion: string | null }
  | { readonly kind: "bookmark"; readonly resourceVersion: string | null }
  /** The server ends the watch: a Status; 410 means that what we wanted to go on from is forgotten. */
  | { readonly kind: "error"; readonly code: number; readonly message: string }
  /** The line is not what a watch sends. */
  | { readonly kind: "malformed"; readonly message: string };

const EventSchema = v.object({ type: v.string(), object: v.unknown() });
const StatusSchema = v.object({
  code: v.optional(v.number(), 500),
  message: v.optional(v.string(), "no message"),
});

/** Takes one line of a watch into the table. */
export function takeLine(line: string, table: NodeTable): WatchStep {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    return { kind: "malformed", message: error instanceof Error ? error.message : String(error) };
  }
  const parsed = v.safeParse(EventSchema, value);
  if (!parsed.success) return { kind: "malformed", message: "it is no watch event" };
  const { type, object } = parsed.output;
  const resourceVersion = resourceVersionOf(object);
  switch (type) {
    case "ADDED":
    case "MODIFIED":
      return { kind: "change", outcome: table.upsert(object), resourceVersion };
    case "DELETED":
      return { kind: "change", outcome: table.remove(object), resourceVersion };
    case "BOOKMARK":
      return { kind: "bookmark", resourceVersion };
    case "ERROR": {
      const status = v.safeParse(StatusSchema, object);
      return status.success
        ? { kind: "error", ...status.output }
        : { kind: "error", code: 500, message: "no Status" };
    }
    default:
      return { kind: "malformed", message: `its type is ${type}` };
  }
}
