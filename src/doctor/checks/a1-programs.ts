import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Programs } from "../sections/programs.ts";

const PACKAGES: Readonly<Record<string, string>> = { ip: "iproute2", iptables: "iptables", nft: "nftables" };

/**
 * A1: the programs, and one iptables for all. Rules in both legacy and nft are both in force, each unseen by the other's
 * program (flannel#1317, plugins#461); iptables-nft before 1.8.4 misreads rules of newer ones (kube-router#1069, #1588).
 */
export const programsCheck = check("A1", "programs", ["programs"], ({ programs }) => {
  const found = [...judgePrograms(programs), ...judgeVariants(programs), ...judgeVersion(programs)];
  const unseen = judgeUnseen(programs.unseen);
  if (found.length > 0) return [...found, ...unseen];
  const versions = programs.found.flatMap(({ path, version }) =>
    path === null || version === null ? [] : [version],
  );
  return [pass(versions.join(", "), evidenceOf(programs)), ...unseen];
});

/** One line for all commands that failed for one reason. */
function judgeUnseen(unseen: readonly string[]): Verdict[] {
  const reasons = new Map<string, string[]>();
  for (const what of unseen) {
    const [, command = "", said = what] = /^(`[^`]+`): ([\s\S]*)$/.exec(what) ?? [];
    // `ip6tables-nft-save v1.8.9 (nf_tables): `, which is another one for each.
    const reason = said.replace(/^\S+ v[\d.]+ \(\w+\): /, "");
    reasons.set(reason, [...(reasons.get(reason) ?? []), ...(command === "" ? [] : [command])]);
  }
  return [...reasons].map(([reason, commands]) =>
    skip(`programs: not looked at: ${commands.length === 0 ? "" : `${commands.join(", ")}: `}${reason}`),
  );
}

function evidenceOf({ found, variants, agent }: Programs): string[] {
  return [
    ...found.map(
      ({ name, path, version }) =>
        `${name}: ${path ?? "not on the PATH"}${version === null ? "" : ` (${version})`}`,
    ),
    ...variants.map(
      ({ variant, kube, ours, rules }) =>
        `iptables-${variant}: ${rules} rules; ${[...kube, ...ours].join(" ") || "no chain of kubelet, kube-proxy or ours"}`,
    ),
    ...(agent === null ? [] : [`the agent's rules: ${agent}`]),
  ];
}

function judgePrograms(programs: Programs): Verdict[] {
  const missing = programs.found.filter(({ path }) => path === null).map(({ name }) => name);
  const has = (name: string) => !missing.includes(name);
  const install = (names: readonly string[]) => [
    `apt-get install ${names.map((name) => PACKAGES[name] ?? name).join(" ")}`,
  ];
  const evidence = evidenceOf(programs);
  // It has programs of its own, and its rules are there.
  if (programs.agent !== null) return [];
  if (!has("iptables") && !has("nft")) {
    return [
      warn({
        message: "there is neither iptables nor nft on the PATH",
        evidence,
        cause:
          "the agent's image has its own; an agent or plugin outside of it can't make the rules that pods need",
        fix: install(["iptables"]),
      }),
    ];
  }
  if (has("ip")) return [];
  return [
    warn({
      message: "there is no ip on the PATH",
      evidence,
      cause:
        "outside of its image the agent does not hear of the kernel's changes without it, and plans can't be pasted",
      fix: install(["ip"]),
    }),
  ];
}

type Held = Programs["variants"][number];
type Variant = Held["variant"];

const BOTH = "both are in force, and what one of them drops or rewrites the other does not show";

function judgeVariants(programs: Programs): Verdict[] {
  const { variants, plain, agent, isImage } = programs;
  const evidence = evidenceOf(programs);
  const kube = variants.filter((one) => one.kube.length > 0);
  const ours = variants.filter((one) => one.ours.length > 0);
  const held = variants.filter(({ rules }) => rules > 0);
  const [holder] = kube;
  if (kube.length > 1) {
    const stale = findStale(kube, programs);
    return [
      warn({
        message: `kubelet or kube-proxy have rules in both iptables: ${kube.map(({ variant, kube: chains }) => `${variant} (${chains.join(" ")})`).join(", ")}`,
        evidence,
        cause: `${BOTH}; usually they are left from before an upgrade of the node's iptables (flannel#1317)`,
        fix: [
          "# reboot the node, or remove those of the variant that kubelet no longer uses:",
          ...removal(stale, stale.variant === agent ? "KUBE-" : "KUBE-\\|MINICNI-"),
        ],
      }),
    ];
  }
  const stray = ours.find(({ variant }) => holder !== undefined && variant !== holder.variant);
  if (holder !== undefined && stray !== undefined && ours.length === 1) {
    return [
      fail({
        message: `our rules are in iptables-${stray.variant}, kube-proxy's in iptables-${holder.variant}`,
        evidence,
        cause:
          "which of the two sees a packet first is not for sure: accepted by one, it can be dropped by the other (flannel#1317)",
        fix: ["kubectl -n kube-system rollout restart daemonset/minicni  # the agent chooses anew"],
      }),
    ];
  }
  if (ours.length > 1) {
    const right = agent ?? holder?.variant ?? plain;
    return [
      warn({
        message: "our rules are in both iptables",
        evidence,
        cause:
          "one set is left from before the agent chose the other; it removes what it can look at within a minute",
        fix: ours
          .filter(({ variant }) => variant !== (right ?? "nft"))
          .flatMap((one) => removal(one, "MINICNI-")),
      }),
    ];
  }
  if (holder !== undefined && plain !== null && plain !== holder.variant && !isImage) {
    return [
      warn({
        message: `iptables on this node is ${plain}, and kube-proxy's rules are in ${holder.variant}`,
        evidence,
        cause: "what somebody adds or looks at by `iptables` is in other tables than those of the cluster",
        fix: [
          `update-alternatives --set iptables /usr/sbin/iptables-${holder.variant}`,
          `update-alternatives --set ip6tables /usr/sbin/ip6tables-${holder.variant}`,
        ],
      }),
    ];
  }
  if (held.length > 1) {
    const other =
      held.find(({ variant }) => variant !== (holder ?? ours[0])?.variant && variant !== plain) ?? held[1];
    return [
      warn({
        message: `rules are in both iptables: ${held.map(({ variant, rules }) => `${variant} (${rules})`).join(", ")}`,
        evidence,
        cause: `${BOTH}; they are of different programs, or left from before an upgrade of the node's iptables (flannel#1317)`,
        fix: [`iptables-${other?.variant}-save  # whose they are; let that program use the other iptables`],
      }),
    ];
  }
  return [];
}

/** Which of two sets nobody uses: not the agent's, not the one that kubelet marks (KEP-3178), not the plain iptables'. */
function findStale(kube: readonly Held[], { agent, plain, isImage }: Programs): Held {
  const marked = kube.filter(({ kube: chains }) =>
    chains.some((chain) => /^KUBE-(IPTABLES-HINT|KUBELET-CANARY)$/.test(chain)),
  );
  const used = agent ?? (marked.length === 1 ? marked[0]?.variant : isImage ? null : plain) ?? "nft";
  const [first] = kube.filter(({ variant }) => variant !== used);
  return first ?? { variant: "legacy", kube: [], ours: [], rules: 0, families: [4] };
}

function removal({ variant, families }: Pick<Held, "variant" | "families">, pattern: string): string[] {
  return families.map((family) => {
    const program = `${family === 4 ? "iptables" : "ip6tables"}-${variant satisfies Variant}`;
    return `${program}-save | grep -v '${pattern}' | ${program}-restore`;
  });
}

function judgeVersion(programs: Programs): Verdict[] {
  const version = programs.found.find(({ name }) => name === "iptables")?.version ?? "";
  const [, minor = "", patch = ""] = /v1\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (programs.plain !== "nft" || minor !== "8" || Number(patch) >= 4) return [];
  return [
    warn({
      message: `${version} loses parts of rules that newer ones wrote`,
      evidence: evidenceOf(programs),
      cause:
        "iptables-nft before 1.8.4 does not read all matches of others: a rule that accepts some becomes one that accepts or drops all (kube-router#1069, #1588)",
      fix: ["apt-get install --only-upgrade iptables"],
    }),
  ];
}
