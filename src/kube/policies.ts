import * as v from "valibot";
import type { Connection } from "./connection.ts";
import { ApiFault, ask, lineOf } from "./request.ts";

/** What the API says of NetworkPolicies: how many and one by name (`namespace/name`), or why it does not say. */
export type PolicyAnswer =
  | { readonly count: number; readonly example: string | null; readonly fault: null }
  | { readonly count: null; readonly example: null; readonly fault: string };

const PATH = "/apis/networking.k8s.io/v1/networkpolicies";
const ListSchema = v.object({
  metadata: v.nullish(v.object({ remainingItemCount: v.nullish(v.number()) })),
  items: v.array(v.object({ metadata: v.object({ name: v.string(), namespace: v.nullish(v.string()) }) })),
});
/** One policy has some kilobytes; what answers in the API's place may never end. */
const MOST_BYTES = 4 << 20;

/** Asks for one NetworkPolicy, with the number of the others, for at most so many milliseconds. Never throws. */
export async function askPolicies(connection: Connection, timeoutMs: number): Promise<PolicyAnswer> {
  const request = {
    method: "GET" as const,
    path: PATH,
    query: { limit: "1" },
    headersTimeoutMs: timeoutMs,
    silenceTimeoutMs: timeoutMs,
  };
  const signal = AbortSignal.timeout(timeoutMs);
  const none = (fault: string) => ({ count: null, example: null, fault }) as const;
  try {
    const answer = await ask(connection, request, signal);
    const parsed = v.safeParse(ListSchema, JSON.parse(await textOf(answer)));
    if (!parsed.success) return none(`${answer.name}: no list of NetworkPolicies`);
    const { items, metadata } = parsed.output;
    const [first] = items;
    const example = first === undefined ? null : `${first.metadata.namespace ?? ""}/${first.metadata.name}`;
    return { count: items.length + (metadata?.remainingItemCount ?? 0), example, fault: null };
  } catch (error) {
    if (signal.aborted) return none(`${connection.name}: no answer within ${timeoutMs / 1000} s`);
    const status = error instanceof ApiFault ? error.status : null;
    if (status === 403)
      return none(`${connection.name} may not list networkpolicies (403): an admin's kubeconfig may`);
    if (status === 404) return none(`${connection.name}: the API has no networkpolicies (404)`);
    return none(
      error instanceof SyntaxError ? `${connection.name}: no JSON in answer` : lineOf(error, connection),
    );
  }
}

async function textOf(answer: Awaited<ReturnType<typeof ask>>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  await answer.read((chunk) => {
    size += chunk.length;
    if (size > MOST_BYTES) throw new SyntaxError("an answer that does not end");
    chunks.push(chunk);
  });
  return Buffer.concat(chunks).toString("utf8");
}
