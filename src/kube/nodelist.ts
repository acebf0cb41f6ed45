import * as v from "valibot";
import { formatAddress, isSameAddress, parseAddress } from "../net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../net/node.ts";
import { formatPrefix, hasHostBits, overlaps, parsePrefix } from "../net/prefix.ts";

const NodeListSchema = v.object({
  items: v.array(
    v.looseObject({
      metadata: v.looseObject({ name: v.string() }),
      spec: v.optional(
        v.looseObject({ podCIDR: v.optional(v.string()), podCIDRs: v.optional(v.array(v.string())) }),
      ),
      status: v.optional(
        v.looseObject({
          addresses: v.optional(v.array(v.looseObject({ type: v.string(), address: v.string() }))),
        }),
      ),
    }),
  ),
});

/**
 * Parses a `NodeList` as `kubectl get nodes -o json` prints it. Throws SyntaxError when it is none at all; a Node
 * without pod CIDR, with an odd value, or with the CIDR of an earlier Node becomes a fault.
 */
export function parseNodeList(text: string): NodeSnapshot {
  const parsed = v.safeParse(NodeListSchema, JSON.parse(text));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new SyntaxError(
      `not a NodeList: ${v.getDotPath(issue) ?? "document"}: expected ${issue.expected}, got ${issue.received}`,
    );
  }
  const nodes: ClusterNode[] = [];
  const faults: { node: string; message: string }[] = [];
  for (const item of parsed.output.items) {
    const { podCIDR, podCIDRs } = item.spec ?? {};
    const texts = podCIDRs !== undefined && podCIDRs.length > 0 ? podCIDRs : podCIDR ? [podCIDR] : [];
    const internal = (item.status?.addresses ?? []).filter(({ type }) => type === "InternalIP");
    const entry: ClusterNode = {
      name: item.metadata.name,
      podCidrs: texts.flatMap((cidr) => parsePrefix(cidr) ?? []),
      addresses: internal.flatMap(({ address }) => parseAddress(address) ?? []),
    };
    const odd = [
      ...texts.filter((text) => isOddCidr(text)),
      ...internal.map(({ address }) => address).filter((text) => parseAddress(text) === null),
    ];
    const message = faultOf(entry, texts, odd) ?? conflictOf(entry, nodes);
    if (message === null) nodes.push(entry);
    else faults.push({ node: entry.name, message });
  }
  return { nodes, faults };
}

function isOddCidr(text: string): boolean {
  const prefix = parsePrefix(text);
  return prefix === null || hasHostBits(prefix);
}

/** What is wrong with a Node by itself; null when nothing is. */
function faultOf(node: ClusterNode, texts: readonly string[], odd: readonly string[]): string | null {
  if (texts.length === 0) return "has no pod CIDR (spec.podCIDRs is [])";
  if (odd.length > 0) return `has a value that is no address or network: ${odd.join(", ")}`;
  if (node.addresses.length === 0) return "has no InternalIP";
  const doubled = node.podCidrs.find((a, index) =>
    node.podCidrs.slice(index + 1).some((b) => overlaps(a, b)),
  );
  return doubled === undefined ? null : `has the pod CIDR ${formatPrefix(doubled)} twice`;
}

/** What contradicts an earlier Node; the earlier one keeps what it has. */
function conflictOf(node: ClusterNode, earlier: readonly ClusterNode[]): string | null {
  for (const other of earlier) {
    if (other.name === node.name) return "is in the list twice";
    const cidr = node.podCidrs.find((a) => other.podCidrs.some((b) => overlaps(a, b)));
    if (cidr !== undefined) return `has a pod CIDR of node ${other.name}: ${formatPrefix(cidr)}`;
    const address = node.addresses.find((a) => other.addresses.some((b) => isSameAddress(a, b)));
    if (address !== undefined) return `has an InternalIP of node ${other.name}: ${formatAddress(address)}`;
  }
  return null;
}

/** The same form, for a lab that has no API server. */
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
