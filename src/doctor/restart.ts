/** Starts the agent of a node anew; its init container installs the programs anew. `node` null: not known. */
export function restartAgent(node: string | null): string {
  const on = node === null ? "spec.nodeName=NODE" : `spec.nodeName=${node}`;
  return `kubectl -n kube-system delete pod -l app.kubernetes.io/name=minicni --field-selector ${on}`;
}

/** What the agent of a node said. */
export function agentLog(node: string | null): string {
  const on = node === null ? "" : ` --field-selector spec.nodeName=${node}`;
  return `kubectl -n kube-system get pods -o wide -l app.kubernetes.io/name=minicni${on}  # then: kubectl -n kube-system logs POD`;
}
