import type { CniConfigs } from "./sections/cni-configs.ts";
import type { Policies } from "./sections/policies.ts";

/** Who enforces NetworkPolicy, and by what one sees it on a node (all in the host's network namespace). */
interface EngineMarks {
  readonly name: string;
  /** Names of its processes, of at most 15 bytes (TASK_COMM_LEN). */
  readonly programs: RegExp;
  readonly chains: RegExp | null;
  readonly tables: RegExp | null;
  readonly links: RegExp | null;
}

const ENGINES: readonly EngineMarks[] = [
  {
    name: "kube-network-policies",
    // Its program is called netpol in its image; kindnet has it built in, with a table of another name.
    programs: /^(kube-network-po\w*|netpol)$/,
    chains: null,
    tables: /^(inet|ip|ip6) \S+-network-policies$/,
    links: null,
  },
  {
    name: "kube-router",
    programs: /^(kube-router|k3s-(server|agent))$/,
    chains: /^(KUBE-ROUTER-(FORWARD|INPUT|OUTPUT)|KUBE-POD-FW-|KUBE-NWPLCY-)/,
    tables: null,
    links: null,
  },
  {
    name: "Calico",
    programs: /^(calico-node|calico-felix|felix)$/,
    chains: /^cali-/,
    tables: /^(ip|ip6|inet) calico$/,
    links: null,
  },
  {
    name: "Cilium",
    programs: /^cilium-agent$/,
    chains: /^CILIUM_/,
    tables: null,
    links: /^cilium_\w+$/,
  },
  {
    name: "Antrea",
    programs: /^antrea-agent$/,
    chains: /^ANTREA-/,
    tables: /^(ip|ip6|inet) antrea$/,
    links: /^antrea-gw0$/,
  },
  { name: "Weave Net", programs: /^weave-npc$/, chains: /^WEAVE-NPC/, tables: null, links: null },
];

/** An engine of which something was seen. */
export interface SeenEngine {
  readonly name: string;
  /** `process kube-router`; null: none can be seen. */
  readonly program: string | null;
  /** `table inet kube-network-policies`, `chain KUBE-ROUTER-FORWARD (iptables-nft)`. */
  readonly marks: readonly string[];
}

/** The engines that left a mark here, or run. */
export function findEngines(
  { chains, tables, links, programs }: CniConfigs,
  policies: Pick<Policies, "tables" | "programs">,
): SeenEngine[] {
  const allTables = [...new Set([...tables, ...(policies.tables ?? [])])];
  const allPrograms = [...programs, ...policies.programs];
  return ENGINES.flatMap((engine) => {
    const program = allPrograms.find((name) => engine.programs.test(name)) ?? null;
    const marks = [
      ...allTables.filter((name) => engine.tables?.test(name)).map((name) => `table ${name}`),
      ...chains
        .filter(({ chain }) => engine.chains?.test(chain))
        .map(({ program: by, chain }) => `chain ${chain} (${by})`),
      ...links.filter(({ name }) => engine.links?.test(name)).map(({ name }) => `link ${name}`),
    ];
    // k3s runs the policy controller of kube-router in its own process: that it runs alone says nothing.
    const isSaid = program !== null && !/^k3s-/.test(program);
    return marks.length === 0 && !isSaid ? [] : [{ name: engine.name, program, marks }];
  });
}

/** Whether a process is one that only this check looks for. */
export function isPolicyProgram(name: string): boolean {
  return /^(kube-network-po\w*|netpol|weave-npc)$/.test(name);
}

/** Whether a table of nftables is one that only this check looks for. */
export function isPolicyTable(name: string): boolean {
  return /-network-policies$/.test(name);
}
