import type { Connection } from "./connection.ts";
import { NODES_PATH } from "./list.ts";
import { ApiFault, ask, lineOf } from "./request.ts";

/** What to say of a Node's network. */
export interface NetworkCondition {
  /** True keeps pods away from the node (taint node.kubernetes.io/network-unavailable). */
  readonly unavailable: boolean;
  /** One word in CamelCase. */
  readonly reason: string;
  readonly message: string;
}

const TIMEOUT_MS = 10_000;

/**
 * Sets the condition NetworkUnavailable of a Node by a strategic merge patch of its status, which leaves the other
 * conditions alone (they merge by `type`); a token the server does not believe is read again once. Null, or why not, in
 * one line. Both timestamps are set: call it only when the condition is not what it should be.
 */
export async function patchNodeCondition(
  connection: Connection,
  node: string,
  { unavailable, reason, message }: NetworkCondition,
): Promise<string | null> {
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const condition = {
    type: "NetworkUnavailable",
    status: unavailable ? "True" : "False",
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  const request = {
    method: "PATCH" as const,
    path: `${NODES_PATH}/${encodeURIComponent(node)}/status`,
    body: JSON.stringify({ status: { conditions: [condition] } }),
    contentType: "application/strategic-merge-patch+json",
    headersTimeoutMs: TIMEOUT_MS,
    silenceTimeoutMs: TIMEOUT_MS,
  };
  const send = async (): Promise<unknown> => {
    try {
      (await ask(connection, request, new AbortController().signal)).cancel();
      return null;
    } catch (error) {
      return error;
    }
  };
  let error = await send();
  if (error instanceof ApiFault && error.status === 401) {
    connection.renew();
    error = await send();
  }
  return error === null ? null : lineOf(error, connection);
}
