/** What another network plugin leaves on a node, by name, and what removes it. */
export interface OtherNetwork {
  readonly name: string;
  /** Names of its processes (comm): while one runs nothing of it is a leftover. */
  readonly programs: RegExp;
  readonly links: RegExp;
  /** Chains of iptables; null: it has none. */
  readonly chains: RegExp | null;
  /** For `grep -v`: what its chains' names begin with. */
  readonly chainWord: string;
  /** Tables of nftables, `inet calico`. */
  readonly tables: RegExp | null;
  /** Protocol numbers of its routes (src/plan/route-owner.ts decodes them); empty: it has none of its own. */
  readonly protocols: readonly number[];
  /** Name of its plugin, as a list of chained plugins has it behind ours; null: it is never chained. */
  readonly chained: string | null;
  /** Whether rules alone are no leftover: it also enforces NetworkPolicy beside another network plugin. */
  readonly isPolicyEngine: boolean;
}

/** Those that node-agents leave behind when they are only deleted (kubeadm#689, flannel#820). */
export const OTHER_NETWORKS: readonly OtherNetwork[] = [
  {
    name: "flannel",
    programs: /^flanneld?$/,
    links: /^(cni0|flannel(\.|-).+)$/,
    chains: /^FLANNEL-/,
    chainWord: "FLANNEL-",
    tables: /^(ip|ip6|inet) flannel-ipv[46]$/,
    protocols: [],
    chained: null,
    isPolicyEngine: false,
  },
  {
    name: "Calico",
    programs: /^(calico-node|calico-felix|felix)$/,
    links: /^(cali[0-9a-f]+|tunl0|vxlan(-v6)?\.calico|wireguard\.cali|wg-v6\.cali)$/,
    chains: /^cali-/,
    chainWord: "cali[-:]",
    tables: /^(ip|ip6|inet) calico$/,
    protocols: [80],
    chained: "calico",
    isPolicyEngine: true,
  },
  {
    name: "Cilium",
    programs: /^cilium-agent$/,
    links: /^(cilium_\w+|lxc_health|lxc[0-9a-f]+)$/,
    chains: /^(OLD_)?CILIUM_/,
    chainWord: "CILIUM_",
    tables: null,
    protocols: [],
    chained: "cilium-cni",
    isPolicyEngine: true,
  },
  {
    name: "kube-router",
    programs: /^(kube-router|k3s-(server|agent))$/,
    links: /^(kube-bridge|tun-[0-9a-f]+)$/,
    chains: /^(KUBE-ROUTER-|KUBE-POD-FW-|KUBE-NWPLCY-)/,
    chainWord: "KUBE-ROUTER-\\|KUBE-POD-FW-\\|KUBE-NWPLCY-",
    tables: null,
    protocols: [17],
    chained: null,
    isPolicyEngine: true,
  },
  {
    name: "Weave Net",
    programs: /^weaver$/,
    links: /^(weave|vethwe-(bridge|datapath)|datapath|vxlan-6784)$/,
    chains: /^WEAVE/,
    chainWord: "WEAVE",
    tables: null,
    protocols: [],
    chained: null,
    isPolicyEngine: false,
  },
  {
    name: "Antrea",
    programs: /^antrea-agent$/,
    links: /^antrea-(gw0|tun0|egress0)$/,
    chains: /^ANTREA-/,
    chainWord: "ANTREA-",
    tables: /^(ip|ip6|inet) antrea$/,
    protocols: [],
    chained: "antrea",
    isPolicyEngine: false,
  },
];
