import { mergePrefixes } from "../../net/merge.ts";
import type { ClusterNode, NodeSnapshot } from "../../net/node.ts";
import type { NodeRulesWish } from "../../topology/node-rules.ts";
import type { Path } from "../../topology/path.ts";
import type { AgentSettings } from "./settings.ts";

/** What the rules depend on; the same object while snapshot and paths are the same ones, which spares the rest its work. */
export function createRulesWish(
  settings: Pick<AgentSettings, "clusterCidrs" | "nonMasqueradeCidrs" | "masquerade" | "masqueradeNodes">,
): (snapshot: NodeSnapshot, self: ClusterNode, paths: readonly Path[]) => NodeRulesWish {
  let kept: {
    snapshot: NodeSnapshot;
    self: ClusterNode;
    paths: readonly Path[];
    wish: NodeRulesWish;
  } | null = null;
  return (snapshot, self, paths) => {
    if (kept?.snapshot === snapshot && kept.self === self && kept.paths === paths) return kept.wish;
    const { clusterCidrs, nonMasqueradeCidrs, masquerade, masqueradeNodes } = settings;
    // What lies between us and a tunnelled peer knows no pod CIDR, and may drop such a source (RFC 3704).
    const direct = paths.flatMap((path) => (path.kind === "direct" ? [path.via] : []));
    const wish: NodeRulesWish = {
      podCidrs: self.podCidrs,
      clusterCidrs:
        clusterCidrs.length > 0
          ? clusterCidrs
          : mergePrefixes(snapshot.nodes.flatMap(({ podCidrs }) => podCidrs)),
      nodeAddresses: [...self.addresses, ...direct],
      nonMasqueradeCidrs,
      masquerade,
      masqueradeNodes,
      randomFully: true,
    };
    kept = { snapshot, self, paths, wish };
    return wish;
  };
}
