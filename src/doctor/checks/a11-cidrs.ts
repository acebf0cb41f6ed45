import { contains, formatPrefix, networkOf, overlaps, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Cidrs } from "../sections/cidrs.ts";
import { countOf, someOf } from "../some.ts";
import { judgeCidrFaults } from "./a11-nodes.ts";
import { judgeServices } from "./a11-services.ts";

/** A pod CIDR or a cluster CIDR, and whose it is. */
export interface Range {
  readonly cidr: Prefix;
  /** Name of the Node; null: a cluster CIDR. */
  readonly node: string | null;
  /** `pod CIDR 10.244.3.0/24 of n3`. */
  readonly text: string;
}

const TITLE = "pod CIDRs and other networks";

/** A11: networks that overlap swallow each other's packets, mostly of a few addresses only, which is hard to see. */
export const cidrsCheck = check("A11", TITLE, ["cidrs"], ({ cidrs }) => {
  const ranges = rangesOf(cidrs);
  if (ranges.length === 0 && cidrs.faults.length === 0)
    return [skip(`${TITLE}: not looked at: no list of Nodes: ${cidrs.noNodes ?? "it is empty"}`)];
  const found = [
    ...judgeCidrFaults(cidrs),
    ...judgeLinks(cidrs, ranges),
    ...judgeClusterCidrs(cidrs, ranges),
    ...judgeServices(cidrs, ranges),
  ];
  if (found.length > 0) return found;
  const links = countOf(cidrs.links.length, "address of a link", "addresses of links");
  const services =
    cidrs.serviceAddresses.length > 0
      ? countOf(cidrs.serviceAddresses.length, "service address", "service addresses")
      : cidrs.serviceCidrs.length > 0
        ? `the service CIDR ${cidrs.serviceCidrs.map(({ cidr }) => cidr).join(", ")}`
        : `no service (${cidrs.noRules ?? "their CIDR is not known here"})`;
  const pods = ranges.filter(({ node }) => node !== null).length;
  return [pass(`${countOf(pods, "pod CIDR")}, ${links} and ${services} do not overlap`)];
});

function rangesOf({ nodes, clusterCidrs }: Cidrs): Range[] {
  const parse = (texts: readonly string[], node: string | null, text: (cidr: string) => string) =>
    texts.flatMap((it): Range[] => {
      const cidr = parsePrefix(it);
      return cidr === null ? [] : [{ cidr, node, text: text(it) }];
    });
  return [
    ...nodes.flatMap(({ name, podCidrs }) => parse(podCidrs, name, (cidr) => `pod CIDR ${cidr} of ${name}`)),
    ...clusterCidrs.flatMap(({ cidr, from }) => parse([cidr], null, (it) => `cluster CIDR ${it} (${from})`)),
  ];
}

/** The networks of links that are not ours against the pods' ones; of one link, pod CIDRs count before cluster CIDRs. */
function judgeLinks(cidrs: Cidrs, ranges: readonly Range[]): Verdict[] {
  return cidrs.links.flatMap(({ name, prefix: text }) => {
    const prefix = parsePrefix(text);
    if (prefix === null) return [];
    const all = ranges.filter(({ cidr }) => overlaps(cidr, prefix));
    const held = all.filter(({ node }) => node !== null);
    const some = held.length > 0 ? held : all;
    const [first] = some;
    return first === undefined ? [] : [judgeLink(name, prefix, some, first, cidrs)];
  });
}

function judgeLink(
  link: string,
  prefix: Prefix,
  held: readonly Range[],
  first: Range,
  { self, bridges }: Cidrs,
): Verdict {
  const network = formatPrefix(networkOf(prefix));
  const evidence = [`${link} ${formatPrefix(prefix)}`, ...held.map(({ text }) => text)];
  const fix = fixOf(link);
  if (first.node === null) {
    return warn({
      message: `${link} has ${network}, which the ${first.text} overlaps`,
      evidence,
      cause: "a Node that gets a pod CIDR from there is not reached, or takes the network of this link away",
      fix,
    });
  }
  const inside = held.filter(({ cidr }) => prefix.length >= cidr.length);
  if (inside.length === 0) {
    return warn({
      message: `${link}'s network ${network} holds ${held.length === 1 ? first.text : countOf(held.length, "pod CIDR")}`,
      evidence,
      cause: `machines on ${link} with an address in ${held.length === 1 ? "it" : "one of these"} can't be reached from here: the route to the pods is the longer one`,
      fix,
    });
  }
  const isOwn = inside.some(({ node }) => node === self);
  const isDoubled = bridges.some((bridge) => {
    const other = parsePrefix(bridge.prefix);
    return other !== null && inside.some(({ cidr }) => contains(cidr, other.address));
  });
  const told = {
    message: `${link} has ${formatPrefix(prefix)}, which is inside the ${inside[0]?.text ?? first.text}`,
    evidence,
    cause: isOwn
      ? `${link} takes addresses of this node's own pods${isDoubled ? ", beside the bridge of minicni" : ""}: it belongs to another program, mostly to a network plugin that was here before`
      : `packets to these pods stay on ${link}, since its own route is at least as long as the one to the peer`,
    fix,
  };
  // Before our bridge is there the other one is what pods live on, until the change is made.
  return isOwn && !isDoubled ? warn(told) : fail(told);
}

/** The programs whose networks people run into, by the names of their links. */
function fixOf(link: string): string[] {
  if (/^(docker|br-)/.test(link)) {
    return [
      `# give Docker other networks: {"bip": "192.168.231.1/24", "default-address-pools": [{"base": "192.168.232.0/21", "size": 24}]} in /etc/docker/daemon.json`,
      "systemctl restart docker",
    ];
  }
  if (/^(cni|flannel|cali|vxlan\.calico|tunl|cilium|weave|kube-bridge|podman|lxc|virbr)/.test(link))
    return [`ip link del ${link}`, `# once nothing lives on ${link} any more: see docs/migration.md`];
  return [
    `# give ${link} another network, or the cluster another --cluster-cidr (kubeadm: networking.podSubnet)`,
  ];
}

/** Pod CIDRs outside of what was chosen; a family of which nothing was chosen is none that somebody decided about. */
function judgeClusterCidrs({ self, clusterCidrs }: Cidrs, ranges: readonly Range[]): Verdict[] {
  const all = clusterCidrs.flatMap(({ cidr }) => parsePrefix(cidr) ?? []);
  const outside = ranges.filter(({ node, cidr }) => {
    if (node === null) return false;
    const named = all.filter(({ address }) => address.family === cidr.address.family);
    return named.length > 0 && !named.some((it) => it.length <= cidr.length && contains(it, cidr.address));
  });
  const [first] = outside;
  if (first === undefined) return [];
  const own = outside.find(({ node }) => node === self);
  const more = outside.length === 1 ? "" : `, nor ${countOf(outside.length - 1, "other")}`;
  return [
    warn({
      message: `no cluster CIDR holds the ${(own ?? first).text}${more}`,
      evidence: [
        ...clusterCidrs.map(({ cidr, from }) => `${from}: ${cidr}`),
        ...outside.map(({ text }) => text),
      ],
      cause: `Nodes keep the pod CIDR they were given when --cluster-cidr is changed (${someOf(outside.map(({ node }) => node ?? ""))}); what goes by the cluster CIDRs alone, as kube-proxy and firewalls do, takes their pods for strangers`,
      fix: [
        "# set MINICNI_CLUSTER_CIDRS and --cluster-cidr of kube-controller-manager and kube-proxy to networks that hold them all",
        ...outside.slice(0, 1).map(({ node }) => `kubectl get node ${node} -o jsonpath='{.spec.podCIDRs}'`),
      ],
    }),
  ];
}
