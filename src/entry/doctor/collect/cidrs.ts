import type { Cidrs } from "../../../doctor/sections/cidrs.ts";
import type { Host } from "../../../host/machine.ts";
import { formatAddress, isLoopback, parseAddress } from "../../../net/address.ts";
import { formatPrefix, parsePrefix } from "../../../net/prefix.ts";
import type { DoctorContext } from "./context.ts";
import { isOwnLink, ownBridges } from "./network-view.ts";
import { readOptionalFile } from "./optional-file.ts";

/** Where distributions keep what the cluster was made with; only control-plane nodes have these. */
const CHOICES = [
  {
    path: "/etc/kubernetes/manifests/kube-apiserver.yaml",
    key: "--service-cluster-ip-range",
    kind: "service",
  },
  { path: "/etc/kubernetes/manifests/kube-controller-manager.yaml", key: "--cluster-cidr", kind: "cluster" },
  { path: "/etc/rancher/k3s/config.yaml", key: "service-cidr", kind: "service" },
  { path: "/etc/rancher/k3s/config.yaml", key: "cluster-cidr", kind: "cluster" },
  { path: "/etc/rancher/rke2/config.yaml", key: "service-cidr", kind: "service" },
  { path: "/etc/rancher/rke2/config.yaml", key: "cluster-cidr", kind: "cluster" },
] as const;
const RULES_TIMEOUT_MS = 5_000;
/** Of kube-proxy in IPVS mode: it has the address of every service. */
const IPVS_LINK = "kube-ipvs0";

/** Who has which networks, as far as this node can know. */
export async function collectCidrs(context: DoctorContext): Promise<Cidrs> {
  const { cluster, agent, host } = context;
  const links = prefixesOf(context);
  const rules = await readServiceRules(host);
  const chosen = CHOICES.flatMap(({ path, key, kind }) =>
    readChoice(readOptionalFile(context, path), key).map((cidr) => ({
      kind,
      cidr,
      from: `${key} in ${path}`,
    })),
  );
  const of = (kind: "service" | "cluster") =>
    chosen.filter((it) => it.kind === kind).map(({ cidr, from }) => ({ cidr, from }));
  const configured = agent?.settings.clusterCidrs ?? [];
  const ofAgent = configured.map((cidr) => ({ cidr, from: "MINICNI_CLUSTER_CIDRS of the agent" }));
  return {
    self: context.node,
    noNodes: cluster.snapshot === null ? (cluster.fault ?? "no source is known") : null,
    nodes: (cluster.snapshot?.nodes ?? []).map(({ name, podCidrs, addresses }) => ({
      name,
      podCidrs: podCidrs.map(formatPrefix),
      addresses: addresses.map(formatAddress),
    })),
    faults: [...(cluster.snapshot?.faults ?? [])],
    clusterCidrs: [...ofAgent, ...of("cluster")],
    serviceCidrs: of("service"),
    serviceAddresses: [...rules.found, ...links.services],
    noRules: rules.fault,
    links: links.others,
    bridges: links.bridges,
  };
}

/** The networks behind a flag of a static pod's manifest, or a key of a YAML file: `--key=a,b`, `key: "a,b"`. */
function readChoice(text: string, key: string): string[] {
  const line = text.split("\n").find((it) => it.replace(/^[\s-]*/, "").startsWith(key.replace(/^-+/, "")));
  const value = line === undefined ? "" : (/[=:]\s*["']?([0-9a-fA-F.:/, ]+)/.exec(line)?.[1] ?? "");
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => parsePrefix(part) !== null);
}

function prefixesOf(context: DoctorContext) {
  const bridges = ownBridges(context);
  const found = context.host.links().flatMap(({ name, index }) =>
    context.host
      .addresses(index)
      .filter(({ linkLocal, prefix }) => !linkLocal && !isLoopback(prefix.address))
      .map(({ prefix }) => ({ name, prefix: formatPrefix(prefix), address: formatAddress(prefix.address) })),
  );
  const plain = ({ name, prefix }: { name: string; prefix: string }) => ({ name, prefix });
  return {
    others: found.filter(({ name }) => name !== IPVS_LINK && !isOwnLink(name, bridges)).map(plain),
    bridges: found.filter(({ name }) => bridges.has(name.split(".")[0] ?? "")).map(plain),
    services: found
      .filter(({ name }) => name === IPVS_LINK)
      .map(({ name, address }) => ({ address, from: `${name} of kube-proxy` })),
  };
}

/** The cluster addresses of services in kube-proxy's rules; none where it has none, or they can't be read. */
async function readServiceRules(host: Host) {
  const found: { address: string; from: string }[] = [];
  const faults: string[] = [];
  const commands = [
    ["iptables-save", "-t", "nat"],
    ["ip6tables-save", "-t", "nat"],
    ["nft", "list", "set", "ip", "kube-proxy", "cluster-ips"],
    ["nft", "list", "set", "ip6", "kube-proxy", "cluster-ips"],
  ];
  for (const argv of commands) {
    if (host.findProgram(argv[0] ?? "") === null) continue;
    const { exitCode, stdout, stderr } = await host.spawn({ argv, timeoutMs: RULES_TIMEOUT_MS });
    if (exitCode !== 0) {
      // A set of kube-proxy that is not there is the rule.
      if (argv[0] !== "nft") faults.push(`${argv.join(" ")}: ${stderr.trim().split("\n")[0] ?? ""}`);
      continue;
    }
    found.push(...(argv[0] === "nft" ? parseSet(stdout) : parseRules(stdout)));
  }
  const fault = faults[0] === undefined ? null : `the rules can't be read: ${faults[0]}`;
  return { found: [...new Map(found.map((it) => [it.address, it])).values()], fault };
}

/** `-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" …`. */
function parseRules(text: string): Cidrs["serviceAddresses"] {
  return text.split("\n").flatMap((line) => {
    const [, address, comment] =
      /^-A KUBE-SERVICES -d ([^ /]+)\/(?:32|128) .*--comment "([^"]*cluster IP)"/.exec(line) ?? [];
    if (address === undefined || parseAddress(address) === null) return [];
    return [{ address, from: `-A KUBE-SERVICES -d ${address} (${comment})` }];
  });
}

/** kube-proxy in nftables mode: `elements = { 10.96.0.1, 10.96.0.10 }`. */
function parseSet(text: string): Cidrs["serviceAddresses"] {
  const elements = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? "";
  return elements
    .split(",")
    .map((part) => part.trim().split(" ")[0] ?? "")
    .filter((address) => parseAddress(address) !== null)
    .map((address) => ({ address, from: `set cluster-ips of kube-proxy: ${address}` }));
}
