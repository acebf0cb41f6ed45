import * as v from "valibot";
import { type Address, formatAddress, parseAddress } from "../net/address.ts";
import { formatPrefix, isSamePrefix, type Prefix, parsePrefix } from "../net/prefix.ts";

/** What we need of one Node. */
export interface NodeEntry {
  readonly name: string;
  readonly podCidrs: readonly Prefix[];
  /** The InternalIPs, in the order of the Node. */
  readonly addresses: readonly Address[];
}

/** All Nodes at one moment; what is wrong with one is told and leaves the others as they are. */
export interface NodeSnapshot {
  readonly nodes: readonly NodeEntry[];
  readonly faults: readonly { readonly node: string; readonly message: string }[];
}

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
  const nodes: NodeEntry[] = [];
  const faults: { node: string; message: string }[] = [];
  for (const item of parsed.output.items) {
    const node = item.metadata.name;
    const texts = item.spec?.podCIDRs ?? (item.spec?.podCIDR ? [item.spec.podCIDR] : []);
    const internal = (item.status?.addresses ?? []).filter(({ type }) => type === "InternalIP");
    const podCidrs = texts.flatMap((cidr) => parsePrefix(cidr) ?? []);
    const addresses = internal.flatMap(({ address }) => parseAddress(address) ?? []);
    const owner = nodes.find((other) => other.podCidrs.some((a) => podCidrs.some((b) => isSamePrefix(a, b))));
    const message =
      podCidrs.length === 0
        ? `has no pod CIDR (spec.podCIDRs is ${JSON.stringify(texts)})`
        : podCidrs.length < texts.length || addresses.length < internal.length
          ? `has a value that is no address: ${JSON.stringify([...texts, ...internal.map(({ address }) => address)])}`
          : addresses.length === 0
            ? "has no InternalIP"
            : owner === undefined
              ? null
              : `has a pod CIDR of node ${owner.name}: ${podCidrs.map(formatPrefix).join(", ")}`;
    if (message === null) nodes.push({ name: node, podCidrs, addresses });
    else faults.push({ node, message });
  }
  return { nodes, faults };
}

/** The same form, for a lab that has no API server. */
export function formatNodeList(nodes: readonly NodeEntry[]): string {
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
