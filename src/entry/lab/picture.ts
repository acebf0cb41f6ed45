import { formatAddress } from "../../net/address.ts";
import type { ClusterNode } from "../../net/node.ts";
import { formatPrefix, networkOf } from "../../net/prefix.ts";
import { routerAddresses } from "../../topology/lab.ts";
import type { Paint } from "../output/paint.ts";
import type { LabReport } from "./test.ts";

/** One entry of the tree with what hangs on it. */
interface Branch {
  readonly text: string;
  readonly children: readonly Branch[];
}

/** The cluster as a tree: the switch, or the router with its subnets; nodes, pods. */
export function formatPicture(report: LabReport, paint: Paint): string[] {
  const { nodes, subnets } = report;
  const branchOf = (node: ClusterNode) => nodeBranch(node, report, paint);
  if (subnets.length === 1) return [paint.bold("underlay switch"), ...draw(nodes.map(branchOf))];
  const branches = subnets.map((subnet) => ({
    text: `${paint.bold(subnet.name)}  ${subnet.networks.map((network) => formatPrefix(networkOf(network))).join("  ")}  ${paint.dim(
      `router ${routerAddresses(subnet)
        .map(({ address }) => formatAddress(address))
        .join("  ")}`,
    )}`,
    children: nodes.filter(({ name }) => subnet.nodes.includes(name)).map(branchOf),
  }));
  return [paint.bold("router, knows the underlay subnets alone"), ...draw(branches)];
}

function nodeBranch(node: ClusterNode, { pods }: LabReport, paint: Paint): Branch {
  const addresses = node.addresses.map(formatAddress).join("  ");
  const cidrs = paint.dim(`pods ${node.podCidrs.map(formatPrefix).join("  ")}`);
  return {
    text: `${paint.bold(node.name)}  ${addresses}  ${cidrs}`,
    children: pods
      .filter((pod) => pod.node === node.name)
      .map((pod) => ({ text: `${pod.name}  ${pod.addresses.join("  ")}`, children: [] })),
  };
}

function draw(branches: readonly Branch[]): string[] {
  return branches.flatMap(({ text, children }, index) => {
    const isLast = index === branches.length - 1;
    return [
      `${isLast ? "└─" : "├─"} ${text}`,
      ...draw(children).map((line) => `${isLast ? " " : "│"}  ${line}`),
    ];
  });
}
