/** What a person can do about an HTTP status or a network error's code. */
const ADVICE: Readonly<Record<string, string>> = {
  401: "the token or client certificate is expired, revoked, or of another cluster",
  403: "the agent's ServiceAccount needs a ClusterRole with get, list and watch on nodes, and patch on nodes/status for the node condition",
  404: "is this really the address of a Kubernetes API server?",
  ConnectionRefused: "is the API server running, and is this its address and port?",
  ECONNREFUSED: "is the API server running, and is this its address and port?",
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
