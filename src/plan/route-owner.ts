import { formatPrefix } from "../net/prefix.ts";
import { quoteWord } from "./format.ts";
import { formatDeletion, parseRouteType } from "./route-spec.ts";
import type { TableRoute } from "./route-table.ts";
import { wordsOf } from "./words.ts";

const KERNEL = 2;
const BOOT = 3;

/**
 * Who marks routes with a protocol number: RTPROT_ of include/uapi/linux/rtnetlink.h, FRR's zebra/rt_netlink.h (186 …
 * 198), Calico's felix/dataplane/linux/dataplanedefs (80), kube-router's pkg/routes/linux_routes.go (17).
 */
const OWNERS: ReadonlyMap<number, string> = new Map([
  [1, "set by an ICMP redirect"],
  [KERNEL, "the kernel's own"],
  [BOOT, "added by hand, or by an agent without a protocol of its own"],
  [4, "static: added by an administrator or a network manager"],
  [8, "GateD's"],
  [9, "from a router advertisement"],
  [10, "MRT's"],
  [11, "Zebra's"],
  [12, "BIRD's"],
  [14, "XORP's"],
  [15, "Netsukuku's"],
  [16, "a DHCP client's"],
  [17, "kube-router's"],
  [18, "keepalived's"],
  [42, "Babel's"],
  [80, "Calico's"],
  [99, "Open/R's"],
  [186, "BGP's (BIRD or FRR)"],
  [187, "IS-IS's (FRR)"],
  [188, "OSPF's (FRR)"],
  [189, "RIP's (FRR)"],
  [190, "RIPng's (FRR)"],
  [192, "EIGRP's (FRR)"],
  [196, "FRR's staticd"],
]);

/** Whose a link is, by its name; asked for routes whose protocol does not tell. */
const LINK_OWNERS: readonly (readonly [RegExp, string])[] = [
  [/^flannel(\.|-|$)/, "flannel's"],
  [/^cni\d+$/, "of a bridge plugin or flannel"],
  [/^(cali|tunl\d|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali)/, "Calico's"],
  [/^(cilium|lxc)/, "Cilium's"],
  [/^(kube-bridge|kube-dummy-if|tun-)/, "kube-router's"],
  [/^weave$/, "Weave Net's"],
  [/^antrea-/, "Antrea's"],
  [/^ovn-k8s-/, "OVN-Kubernetes'"],
  [/^(docker\d+|br-[0-9a-f]{12})$/, "Docker's"],
  [/^(podman\d+|cni-podman\d+)$/, "Podman's"],
  [/^virbr\d+/, "libvirt's"],
];

/**
 * Whose a foreign route is, in words ("Calico's", "static: added by …"); the link's name decides where the protocol is
 * one that everybody uses. `dev` empty: the route has no link.
 */
export function describeRouteOwner(protocol: number, dev: string): string {
  const owner = OWNERS.get(protocol);
  const byLink = LINK_OWNERS.find(([name]) => name.test(dev))?.[1];
  if (byLink === undefined) return owner ?? "of an unknown owner";
  if (protocol === KERNEL) return `the kernel's own, for an address of a link that is ${byLink}`;
  return protocol === BOOT || owner === undefined ? byLink : owner;
}

/**
 * One line for a person: which route is in the way of ours to the same destination, whose it is, and how to remove it.
 * `dev` empty: the route has no link, or it has gone meanwhile.
 */
export function describeRouteInTheWay(route: TableRoute, dev: string): string {
  const by = dev !== "" ? dev : (parseRouteType(route.type) ?? "an unknown link");
  const what = `${formatPrefix(route.dst)}: a route of protocol ${route.protocol} by ${by} is in the way`;
  const owner = describeRouteOwner(route.protocol, dev);
  return `${what} (${owner}); ${adviseRemoval(route, dev)}`;
}

function adviseRemoval(route: TableRoute, dev: string): string {
  // What the kernel made comes with an address, and would come again with it.
  if (route.protocol === KERNEL && dev !== "") {
    return `remove the address it comes from: ip address show dev ${quoteWord(dev)}`;
  }
  const words = wordsOf({ op: "route.del", route: formatDeletion(route, dev) });
  return `remove it: ip ${words.map(quoteWord).join(" ")}`;
}
