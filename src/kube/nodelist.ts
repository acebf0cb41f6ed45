import { formatAddress } from "../net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../net/node.ts";
import { formatPrefix } from "../net/prefix.ts";
import { readList } from "./list-reader.ts";
import { openNodeTable } from "./node-table.ts";

export { type NodeFileOptions, watchNodeFile } from "./node-file.ts";

/**
 * Parses a `NodeList` as `kubectl get nodes -o json` prints it, or as the API sends it. Throws SyntaxError when it is
 * none; a Node that can't be used, that has no name, or that contradicts an older one, becomes a fault.
 */
export function parseNodeList(text: string): NodeSnapshot {
  const table = openNodeTable(null);
  const draft = table.begin();
  const reader = readList((value) => draft.add(value));
  reader.push(new TextEncoder().encode(text));
  reader.finish();
  draft.take();
  return table.snapshot();
}

/** The same form: for a lab that has no API server, and for the last known Nodes on disk. */
export function formatNodeList(nodes: readonly ClusterNode[]): string {
  const items = nodes.map(({ name, podCidrs, addresses }) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: {
      podCIDR: podCidrs[0] === undefined ? "" : formatPrefix(podCidrs[0]),
      podCIDRs: podCidrs.map(formatPrefix),
    },
    status: {
      addresses: [
        ...addresses.map((address) => ({ type: "InternalIP", address: formatAddress(address) })),
        { type: "Hostname", address: name },
      ],
    },
  }));
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, null, 2)}\n`;
}
