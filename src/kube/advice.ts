/** What a person can do about an HTTP status (with the method where it matters) or a network error's code. */
const ADVICE: Readonly<Record<string, string>> = {
  401: "the token or client certificate is expired, revoked, or of another cluster",
  "403 GET":
    "the agent needs a ClusterRole with list and watch on nodes: `kubectl apply -f k8s/minicni.yaml` makes it, and binds it to its ServiceAccount, minicni in kube-system",
  "403 PATCH":
    "the node condition needs a ClusterRole with patch on nodes/status: let the ClusterRole minicni allow it, or set MINICNI_NODE_CONDITION to false",
  404: "is this really the address of a Kubernetes API server?",
  ConnectionRefused: "is the API server running, and is this its address and port?",
  ECONNREFUSED: "is the API server running, and is this its address and port?",
  EHOSTUNREACH: "nothing answers there: see this node's own network",
  ENETUNREACH: "this node has no route there: see its own network",
  ETIMEDOUT: "nothing answers there: see this node's own network, and firewalls on the way",
  FailedToOpenSocket: "the host has no address or no route: see DNS and this node's own network",
  ENOTFOUND: "the host name has no address: see DNS",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the server's certificate is not signed by the CA that we were given",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the server's certificate is not signed by the CA that we were given",
  UNABLE_TO_GET_ISSUER_CERT: "the server's certificate is not signed by the CA that we were given",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the server's certificate is not signed by the CA that we were given",
  SELF_SIGNED_CERT_IN_CHAIN: "the server's certificate is not signed by the CA that we were given",
  CERT_SIGNATURE_FAILURE: "the server's certificate is not signed by the CA that we were given",
  CERT_HAS_EXPIRED: "see the server's certificate, and this node's clock",
  CERT_NOT_YET_VALID: "see the server's certificate, and this node's clock",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "the server's certificate is not for this address; tls-server-name may be needed",
};

/** Null when there is nothing to say that the code itself does not. */
export function adviceOf(code: number | string): string | null {
  return ADVICE[String(code)] ?? null;
}

/** Codes of what did not come to a server at all. */
const UNREACHED: ReadonlySet<string> = new Set([
  "ConnectionRefused",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "FailedToOpenSocket",
]);

/** Why a request ends that got not even headers. */
export const NO_ANSWER = "no answer";

const BUN_HINTS =
  / fetching "[^"]*"\.?|For more information, pass `verbose: true` in the second argument to fetch\(\)|Is the computer able to access the url\?/g;

/**
 * A failure on the way to an answer, in one line with what to do. `unreached`: what to look at when nobody was reached;
 * undefined: what the code says.
 */
export function describeFailure(error: unknown, unreached: string | undefined): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : null;
  const isUnheard = (code !== null && UNREACHED.has(code)) || error.message.startsWith(NO_ANSWER);
  const advices = [code === null ? null : adviceOf(code), isUnheard ? unreached : null];
  const advice = advices.filter((one) => one != null).join("; ");
  // What Bun adds for programmers is of no use to an admin, and the request is named already.
  const message = error.message.replace(BUN_HINTS, "").trim();
  const told = code === null || message.includes(code) ? message : `${code}: ${message}`;
  return advice === "" ? told : `${told} (${advice})`;
}
