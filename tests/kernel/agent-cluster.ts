/** What a test says of one Node. */
export interface NodeWords {
  readonly name: string;
  readonly podCidrs: readonly string[];
  readonly addresses: readonly string[];
}

/** The node whose agent is tested: on one link with n2, and by a gateway to n3. */
export const N1: NodeWords = {
  name: "n1",
  podCidrs: ["10.244.1.0/24", "fd44:0:0:1::/64"],
  addresses: ["10.9.0.1", "fd09::1"],
};
export const N2: NodeWords = {
  name: "n2",
  podCidrs: ["10.244.2.0/24", "fd44:0:0:2::/64"],
  addresses: ["10.9.0.2", "fd09::2"],
};
export const N3: NodeWords = {
  name: "n3",
  podCidrs: ["10.244.3.0/24", "fd44:0:0:3::/64"],
  addresses: ["10.8.0.3", "fd08::3"],
};

const isOf = (family: 4 | 6) => (text: string) => text.includes(":") === (family === 6);

/** The Node with what it has of one family. */
export function only(family: 4 | 6, { name, podCidrs, addresses }: NodeWords): NodeWords {
  return { name, podCidrs: podCidrs.filter(isOf(family)), addresses: addresses.filter(isOf(family)) };
}

export const v4 = (node: NodeWords) => only(4, node);
export const v6 = (node: NodeWords) => only(6, node);

/** A Node as the API has it. */
export function nodeItem({ name, podCidrs, addresses }: NodeWords) {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: { podCIDR: podCidrs[0] ?? "", podCIDRs: podCidrs },
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  };
}

/** Whether it is what a test says of a Node, and not a Node itself. */
export function isWords(node: object): node is NodeWords {
  return "name" in node && "podCidrs" in node && "addresses" in node;
}
