/** A command that works where a feature is there, in a network namespace that ends with it. */
export interface FeatureProbe {
  readonly argv: readonly string[];
  readonly stdin?: string;
}

/** A feature of the kernel, and how to see that it is there. */
export interface KernelFeature {
  readonly name: string;
  /** Any one of these modules has it; empty: it is built into another one, and only a trial tells. */
  readonly modules: readonly string[];
  /** What needs it: every pod, peers behind a tunnel, or a key of the configuration. */
  readonly need: "pods" | "tunnel" | { readonly keys: readonly string[] };
  /** What fails without it, in words. */
  readonly use: string;
  /** Build option of the kernel. */
  readonly option: string;
  readonly probe: FeatureProbe;
}

const rule = (words: string): FeatureProbe => ({ argv: ["iptables", "-w", "5", ...words.split(" ")] });
const link = (words: string): FeatureProbe => ({ argv: ["ip", "link", "add", ...words.split(" ")] });

/**
 * All that pods, tunnels, rules and limits need of the kernel (calicoctl's checksystem and kube-router's troubleshoot.md look
 * at modules alone; a kernel with all built in has none).
 */
export const FEATURES: readonly KernelFeature[] = [
  {
    name: "veth",
    modules: ["veth"],
    need: "pods",
    use: "a pod's link",
    option: "CONFIG_VETH",
    probe: link("mcnid0 type veth peer name mcnid1"),
  },
  {
    name: "bridge",
    modules: ["bridge"],
    need: "pods",
    use: "the bridge that pods hang on",
    option: "CONFIG_BRIDGE",
    probe: link("mcnid0 type bridge"),
  },
  {
    name: "vxlan",
    modules: ["vxlan"],
    need: "tunnel",
    use: "the tunnel to peers behind a router",
    option: "CONFIG_VXLAN",
    probe: link("mcnid0 type vxlan id 1 dstport 8472"),
  },
  {
    name: "masquerade",
    modules: ["xt_MASQUERADE", "ipt_MASQUERADE"],
    need: "pods",
    use: "what pods send out of the cluster",
    option: "CONFIG_NETFILTER_XT_TARGET_MASQUERADE",
    probe: rule("-t nat -A POSTROUTING -j MASQUERADE"),
  },
  {
    name: "comments in rules",
    modules: ["xt_comment"],
    need: "pods",
    use: "rules of ours and of kube-proxy",
    option: "CONFIG_NETFILTER_XT_MATCH_COMMENT",
    probe: rule("-A FORWARD -m comment --comment x -j ACCEPT"),
  },
  {
    name: "address types in rules",
    modules: ["xt_addrtype"],
    need: "pods",
    use: "host ports, and kube-proxy's node ports",
    option: "CONFIG_NETFILTER_XT_MATCH_ADDRTYPE",
    probe: rule("-A FORWARD -m addrtype --dst-type LOCAL -j ACCEPT"),
  },
  {
    name: "marks in rules",
    modules: ["xt_mark"],
    need: "pods",
    use: "hairpin of host ports, and kube-proxy's masquerading",
    option: "CONFIG_NETFILTER_XT_MARK",
    probe: rule("-t nat -A PREROUTING -m mark --mark 0x1/0x1 -j ACCEPT"),
  },
  {
    name: "connection tracking",
    modules: ["nf_conntrack"],
    need: "pods",
    use: "masquerading, host ports, Services",
    option: "CONFIG_NF_CONNTRACK",
    probe: rule("-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"),
  },
  {
    name: "token buckets",
    modules: ["sch_tbf"],
    need: { keys: ["bandwidth"] },
    use: "bandwidth limits of pods",
    option: "CONFIG_NET_SCH_TBF",
    probe: {
      argv: "tc qdisc add dev lo root tbf rate 1mbit burst 32kbit latency 25ms".split(" "),
    },
  },
  {
    name: "ifb",
    modules: ["ifb"],
    need: { keys: ["bandwidth"] },
    use: "limits of what pods send",
    option: "CONFIG_IFB",
    probe: link("mcnid0 type ifb"),
  },
  {
    name: "redirection",
    modules: ["act_mirred"],
    need: { keys: ["bandwidth"] },
    use: "limits of what pods send",
    option: "CONFIG_NET_ACT_MIRRED, CONFIG_NET_CLS_U32 and CONFIG_NET_SCH_INGRESS",
    probe: {
      argv: ["tc", "-batch", "-"],
      stdin:
        "qdisc add dev lo ingress\nfilter add dev lo parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev lo\n",
    },
  },
  {
    name: "VLAN filtering of bridges",
    modules: [],
    need: { keys: ["vlan", "vlanTrunk"] },
    use: "pods in VLANs",
    option: "CONFIG_BRIDGE_VLAN_FILTERING",
    probe: link("mcnid0 type bridge vlan_filtering 1"),
  },
  {
    name: "nftables on bridges",
    modules: [],
    need: { keys: ["macspoofchk"] },
    use: "the check of pods' MAC addresses",
    option: "CONFIG_NF_TABLES_BRIDGE",
    probe: { argv: ["nft", "add", "table", "bridge", "mcnid"] },
  },
];

/**
 * Whether a trial's stderr says that the kernel has no such thing; else it says that nobody may try, or that the program
 * lacks something itself. iptables-nft says `RULE_APPEND failed (No such file or directory)` for what the kernel lacks, and
 * `Couldn't load match` for what iptables itself lacks.
 */
export function isRefusal(stderr: string): boolean {
  return !/unshare failed|failed to execute|Operation not permitted|Permission denied|Couldn't load (match|target)|Device or resource busy|lock/.test(
    stderr,
  );
}

/** A line of modprobe.d(5) that keeps a module from being loaded. */
export interface ModuleBlock {
  readonly module: string;
  readonly text: string;
}

/**
 * What keeps a module from being loaded when the kernel asks for it: it asks by an alias, which `blacklist` hides, and `install`
 * puts a command (`/bin/false`, `/bin/true`) in its place. Null: the line is none of these.
 */
export function parseModuleBlock(line: string): ModuleBlock | null {
  const text = line.trim();
  const name = /^(?:blacklist\s+(\S+)$|install\s+(\S+)\s+(?:\/usr)?\/bin\/(?:false|true)\b)/.exec(text);
  const module = name?.[1] ?? name?.[2];
  return module === undefined ? null : { module: module.replaceAll("-", "_"), text };
}
