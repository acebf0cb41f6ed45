import type { ClusterNode } from "../../../src/net/node.ts";
import { tunnelNextHop } from "../../../src/topology/endpoint.ts";
import type { Path } from "../../../src/topology/path.ts";
import { describeTunnels, type TunnelDevice } from "../../../src/topology/tunnel.ts";
import { address, prefix } from "../../twin/words.ts";

export const SELF: ClusterNode = {
  name: "node1",
  podCidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"].map(prefix),
  addresses: ["172.31.255.1", "fd00:31:255::1"].map(address),
};
export const PEER: ClusterNode = {
  name: "node2",
  podCidrs: ["10.244.2.0/24", "fd00:10:244:2::/64"].map(prefix),
  addresses: ["172.31.254.2", "fd00:31:254::2"].map(address),
};
export const NODE2_MAC = "0e:dc:33:da:f9:cb";
export const NODE2_HOP = "fe80::cdc:33ff:feda:f9cb";
export const PATHS: Path[] = (["172.31.254.2", "fd00:31:254::2"] as const).map((remote, index) => {
  const dst = PEER.podCidrs[index] ?? prefix("0.0.0.0/0");
  const nextHop = tunnelNextHop(NODE2_MAC, dst);
  const underlay = index === 0 ? 4 : 6;
  return { peer: PEER, dst, kind: "tunnel", underlay, remote: address(remote), mac: NODE2_MAC, nextHop };
});
export const SETTINGS = { vni: 157, port: 8472 };

export function describeAll(self = SELF, paths = PATHS, mtu = 1500): TunnelDevice[] {
  return describeTunnels(self, paths, SETTINGS, () => mtu);
}

export function first(devices = describeAll()): TunnelDevice {
  const [device] = devices;
  if (device === undefined) throw new Error("no device");
  return device;
}
