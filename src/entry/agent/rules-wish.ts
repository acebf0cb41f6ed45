import { FAMILIES } from "../../net/address.ts";
import { mergePrefixes } from "../../net/merge.ts";
import type { ClusterNode, NodeSnapshot } from "../../net/node.ts";
import { contains, formatPrefix, type Prefix } from "../../net/prefix.ts";
import type { NodeRulesWish } from "../../topology/node-rules.ts";
import type { Path } from "../../topology/path.ts";
import type { AgentSettings } from "./settings.ts";
import { summarise } from "./summary.ts";

/** What the rules depend on, and what is odd about it. */
export interface DescribedWish {
  readonly wish: NodeRulesWish;
  /** Pod CIDRs of Nodes that the chosen cluster CIDRs do not hold, and what to do; null when there are none. */
  readonly uncovered: string | null;
}

/** The same object while snapshot and paths are the same ones, which spares the rest its work. */
export function createRulesWish(
  settings: Pick<AgentSettings, "clusterCidrs" | "nonMasqueradeCidrs" | "masquerade" | "masqueradeNodes">,
): (snapshot: NodeSnapshot, self: ClusterNode, paths: readonly Path[]) => DescribedWish {
  let kept: {
    snapshot: NodeSnapshot;
    self: ClusterNode;
    paths: readonly Path[];
    described: DescribedWish;
  } | null = null;
  return (snapshot, self, paths) => {
    if (kept?.snapshot === snapshot && kept.self === self && kept.paths === paths) return kept.described;
    const { clusterCidrs, nonMasqueradeCidrs, masquerade, masqueradeNodes } = settings;
    // What lies between us and a tunnelled peer knows no pod CIDR, and may drop such a source (RFC 3704).
    const direct = paths.flatMap((path) => (path.kind === "direct" ? [path.via] : []));
    const wish: NodeRulesWish = {
      podCidrs: self.podCidrs,
      // Those of the Nodes as well: a cluster CIDR with a typo must not cost pods their sources.
      clusterCidrs: mergePrefixes([...clusterCidrs, ...snapshot.nodes.flatMap(({ podCidrs }) => podCidrs)]),
      nodeAddresses: [...self.addresses, ...direct],
      nonMasqueradeCidrs,
      masquerade,
      masqueradeNodes,
      randomFully: true,
    };
    const described = { wish, uncovered: describeUncovered(snapshot, clusterCidrs) };
    kept = { snapshot, self, paths, described };
    return described;
  };
}

/** A family that is not named is none that somebody chose anything about. */
function describeUncovered({ nodes }: NodeSnapshot, chosen: readonly Prefix[]): string | null {
  const all = mergePrefixes(chosen);
  const named = FAMILIES.filter((family) => all.some(({ address }) => address.family === family));
  const isHeld = (cidr: Prefix) =>
    !named.includes(cidr.address.family) ||
    all.some((wide) => wide.length <= cidr.length && contains(wide, cidr.address));
  const found = nodes.flatMap(({ name, podCidrs }) =>
    podCidrs.filter((cidr) => !isHeld(cidr)).map((cidr) => `${name} ${formatPrefix(cidr)}`),
  );
  const setting = `MINICNI_CLUSTER_CIDRS is ${chosen.map(formatPrefix).join()}, which holds not all that Nodes have`;
  const told = summarise(`${setting}: pod CIDRs outside`, found);
  if (told === null) return null;
  return `${told}. Their sources are kept all the same; give it what kube-controller-manager has as --cluster-cidr (kubeadm: --pod-network-cidr), or leave it empty`;
}
