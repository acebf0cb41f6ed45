import { formatAddress, parseAddress } from "../../net/address.ts";
import { contains, hostPrefix, networkOf, overlaps, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { fail, type Verdict, warn } from "../finding.ts";
import type { Cidrs } from "../sections/cidrs.ts";
import { countOf } from "../some.ts";
import type { Range } from "./a11-cidrs.ts";

const FIX = [
  "# a cluster's service CIDR can't be changed in place before Kubernetes 1.33 (ServiceCIDR): give pods another --cluster-cidr, or make the cluster again with --service-cluster-ip-range (kubeadm: networking.serviceSubnet) elsewhere",
];

/** Services against pods, node addresses and links: by the service CIDR where it is known, and by each service's address. */
export function judgeServices(cidrs: Cidrs, ranges: readonly Range[]): Verdict[] {
  return [...judgeServiceCidrs(cidrs, ranges), ...judgeServiceAddresses(cidrs, ranges)];
}

function judgeServiceCidrs({ serviceCidrs, nodes, links }: Cidrs, ranges: readonly Range[]): Verdict[] {
  return serviceCidrs.flatMap(({ cidr: text, from }) => {
    const service = parsePrefix(text);
    if (service === null) return [];
    const pods = ranges.filter(({ cidr }) => overlaps(cidr, service));
    const addresses = nodes.flatMap(({ name, addresses: all }) =>
      all.filter((it) => isIn(service, it)).map((it) => `InternalIP ${it} of ${name}`),
    );
    const networks = links.filter(({ prefix }) => {
      const parsed = parsePrefix(prefix);
      // A link that has the address of a service alone (node-local DNS) has it on purpose.
      return parsed !== null && !isHost(parsed) && overlaps(parsed, service);
    });
    const head = `service CIDR ${text} (${from})`;
    const found: Verdict[] = [];
    const [pod] = pods;
    if (pod !== undefined) {
      found.push(
        fail({
          message: `the service CIDR ${text} and the ${pod.text} overlap`,
          evidence: [head, ...pods.map((it) => it.text)],
          cause: "a service and a pod can get one address: which of them answers is chance",
          fix: FIX,
        }),
      );
    }
    const others = [...addresses, ...networks.map(({ name, prefix }) => `${name} ${prefix}`)];
    if (others.length > 0) {
      found.push(
        warn({
          message: `the service CIDR ${text} holds addresses of machines: ${others[0]}`,
          evidence: [head, ...others],
          cause:
            "a service that gets the address of a machine takes all connections to it, the kubelet's as well",
          fix: FIX,
        }),
      );
    }
    return found;
  });
}

const isHost = (prefix: Prefix) => hostPrefix(prefix.address).length === prefix.length;

function isIn(prefix: Prefix, text: string): boolean {
  const address = parseAddress(text);
  return address !== null && contains(prefix, address);
}

/** With thousands of both: the networks by length, of which there are one or two, and by their number. */
function judgeServiceAddresses({ serviceAddresses }: Cidrs, ranges: readonly Range[]): Verdict[] {
  const byNetwork = new Map(ranges.map((range) => [keyOf(range.cidr), range] as const));
  const lengths = [...new Set(ranges.map(({ cidr }) => cidr.length))];
  const found = serviceAddresses.flatMap(({ address: text, from }) => {
    const address = parseAddress(text);
    if (address === null) return [];
    const most = hostPrefix(address).length;
    const range = lengths
      .filter((length) => length <= most)
      .map((length) => byNetwork.get(keyOf({ address, length })))
      .find((it) => it !== undefined);
    return range === undefined ? [] : [{ text, from, range }];
  });
  const [first] = found;
  if (first === undefined) return [];
  const more = found.length === 1 ? "" : ` (and ${countOf(found.length - 1, "more service")})`;
  return [
    fail({
      message: `the service address ${first.text} is inside the ${first.range.text}${more}`,
      evidence: found.flatMap(({ from, range }) => [from, range.text]),
      cause: "a service and a pod can get one address: which of them answers is chance",
      fix: FIX,
    }),
  ];
}

function keyOf(prefix: Prefix): string {
  const { address, length } = networkOf(prefix);
  return `${formatAddress(address)}/${length}`;
}
