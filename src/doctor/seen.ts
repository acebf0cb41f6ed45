import * as v from "valibot";

/** A section of the facts: what was seen, or why nothing was. */
export type Seen<T> = { readonly seen: T } | { readonly unseen: string };

/** The schema of a section. */
export function seenSchema<S extends v.GenericSchema>(schema: S) {
  return v.union([v.object({ seen: schema }), v.object({ unseen: v.string() })]);
}
