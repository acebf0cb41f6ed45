import * as v from "valibot";
import { describeIssue } from "./node-fields.ts";
import { splitList } from "./split.ts";

/** What a list says besides its items. */
export interface ListRest {
  /** `metadata.resourceVersion`, opaque; null in a list that no API server wrote (kubectl prints ""). */
  readonly resourceVersion: string | null;
  /** `metadata.continue`: the token of the next page; null on the last one. */
  readonly next: string | null;
}

/** Reads a NodeList while it comes. Both throw SyntaxError with "not a NodeList: …" as soon as it can't be one. */
export interface ListReader {
  readonly push: (chunk: Uint8Array) => void;
  /** At the end; before it returned, nothing of what came may be believed: the list could be cut. */
  readonly finish: () => ListRest;
}

const text = v.nullish(v.string());
const RestSchema = v.object({
  kind: v.optional(v.picklist(["NodeList", "List"])),
  metadata: v.nullish(v.object({ resourceVersion: text, continue: text })),
});
const ItemSchema = v.object({ kind: v.optional(v.literal("Node")) });

/**
 * Reads `kind: NodeList` (the API) or `kind: List` (kubectl) item by item; `onItem` is given each one parsed as JSON.
 * A list of anything else is refused at its first item, because it would read as a cluster without Nodes.
 */
export function readList(onItem: (value: unknown, index: number) => void): ListReader {
  let index = 0;
  const splitter = splitList((json) => {
    const value = named(`items.${index}: `, () => JSON.parse(json));
    const parsed = v.safeParse(ItemSchema, value);
    if (!parsed.success) {
      throw new SyntaxError(
        describeIssue(parsed.issues[0], `items.${index}`).replace(/^kind:/, `items.${index}.kind:`),
      );
    }
    onItem(value, index);
    index++;
  });
  return {
    push: (chunk) => named("not a NodeList: ", () => splitter.push(chunk)),
    finish: () =>
      named("not a NodeList: ", () => {
        const parsed = v.safeParse(RestSchema, JSON.parse(splitter.finish()));
        if (!parsed.success) throw new SyntaxError(describeIssue(parsed.issues[0]));
        const { metadata } = parsed.output;
        return { resourceVersion: metadata?.resourceVersion || null, next: metadata?.continue || null };
      }),
  };
}

/** Puts the place before the message of a SyntaxError. */
function named<T>(place: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof SyntaxError) throw new SyntaxError(`${place}${error.message}`);
    throw error;
  }
}
