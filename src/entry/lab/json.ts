import { formatAddress } from "../../net/address.ts";
import { formatPrefix } from "../../net/prefix.ts";
import type { LabReport } from "./test.ts";

/** The report for a machine: addresses and CIDRs as text. */
export function toJson(report: LabReport): unknown {
  const nodes = report.nodes.map(({ name, addresses, podCidrs }) => ({
    name,
    addresses: addresses.map(formatAddress),
    podCidrs: podCidrs.map(formatPrefix),
  }));
  const subnets = report.subnets.map((subnet) => ({
    ...subnet,
    networks: subnet.networks.map(formatPrefix),
  }));
  return { ...report, nodes, subnets };
}
