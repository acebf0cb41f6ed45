import type { Family } from "../net/address.ts";
import type { ClusterNode } from "../net/node.ts";
import type { Prefix } from "../net/prefix.ts";
import { ROUTE_PROTOCOL, type RouteSpec } from "../plan/step.ts";

/** What should be on one node: a route to each peer's pod CIDRs, and the CIDRs that FORWARD must let through. */
export interface NodeNetwork {
  readonly routes: readonly RouteSpec[];
  readonly forward: ReadonlyMap<Family, readonly Prefix[]>;
}

/**
 * The desired state of node `self` under backend host-gw: every peer's pod CIDR by the peer's address of the same
 * family, marked with our route protocol. `device` is the link of the node network. Throws RangeError when `self` is
 * not among the nodes.
 */
export function describeNode(nodes: readonly ClusterNode[], self: string, device: string): NodeNetwork {
  if (!nodes.some(({ name }) => name === self)) throw new RangeError(`node ${self} is not in the NodeList`);
  const routes = nodes
    .filter(({ name }) => name !== self)
    .flatMap(({ podCidrs, addresses }) =>
      podCidrs.flatMap((dst): RouteSpec[] => {
        const via = addresses.find(({ family }) => family === dst.address.family);
        return via === undefined ? [] : [{ dst, via, dev: device, protocol: ROUTE_PROTOCOL }];
      }),
    );
  const all = nodes.flatMap(({ podCidrs }) => podCidrs);
  const families: readonly Family[] = [4, 6];
  const forward = new Map(
    families.map((family) => [family, all.filter(({ address }) => address.family === family)] as const),
  );
  return { routes, forward };
}
