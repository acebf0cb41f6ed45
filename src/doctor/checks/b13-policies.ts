import { check } from "../check.ts";
import { pass, skip, type Verdict, warn } from "../finding.ts";
import { findEngines, type SeenEngine } from "../policy-engines.ts";
import type { CniConfigs } from "../sections/cni-configs.ts";
import type { Policies } from "../sections/policies.ts";
import { countOf, someOf } from "../some.ts";

const TITLE = "NetworkPolicy";
const NEEDS = ["cniConfigs", "policies"] as const;
const INSTALL =
  "# minicni enforces none: run an engine beside it, such as kube-network-policies (sigs.k8s.io/kube-network-policies) as a DaemonSet";
/** More marks of one engine are no help. */
const MOST_MARKS = 6;

/**
 * B13: minicni enforces no NetworkPolicy. The API takes policies all the same, without a word, and whoever wrote them thinks
 * that they hold.
 */
export const policiesCheck = check("B13", TITLE, NEEDS, ({ cniConfigs, policies }) => {
  const engines = findEngines(cniConfigs, policies);
  const isGone = ({ program }: SeenEngine) => program === null && cniConfigs.seesHost;
  const working = engines.filter((engine) => !isGone(engine));
  const left = engines.filter(isGone);
  return working.length > 0 ? judgeEngines(working, policies) : judgeNone(left, cniConfigs, policies);
});

const evidenceOf = (engines: readonly SeenEngine[]) =>
  engines.flatMap(({ name, program, marks }) => [
    ...(program === null ? [] : [`${name}: process ${program}`]),
    ...marks.slice(0, MOST_MARKS).map((mark) => `${name}: ${mark}`),
    ...(marks.length > MOST_MARKS ? [`${name}: and ${marks.length - MOST_MARKS} more`] : []),
  ]);

function describe({ count, example, unasked }: Policies): string {
  if (count === null) return `whether there are any is not known (${unasked})`;
  return count === 0 ? "there are none" : `there ${count === 1 ? "is" : "are"} ${count}, such as ${example}`;
}

function judgeEngines(engines: readonly SeenEngine[], policies: Policies): Verdict[] {
  const names = engines.map(({ name }) => name);
  const evidence = evidenceOf(engines);
  if (names.length === 1)
    return [pass(`${names[0]} enforces NetworkPolicies on this node; ${describe(policies)}`, evidence)];
  return [
    warn({
      message: `${countOf(names.length, "engine")} enforce NetworkPolicies on this node: ${someOf(names)}`,
      evidence,
      cause:
        "a packet has to pass all of them, and each allows only what it knows of: let one do it (what an engine left behind, A7 removes)",
      fix: [`# keep one of ${someOf(names)}, and delete the others from the cluster`],
    }),
  ];
}

function judgeNone(left: readonly SeenEngine[], cniConfigs: CniConfigs, policies: Policies): Verdict[] {
  const { count, example } = policies;
  const unseen = [...cniConfigs.unseen, ...(policies.tables === null ? ["tables of nftables"] : [])];
  const gone =
    left.length === 0 ? "" : ` (${someOf(left.map(({ name }) => name))} left rules, and does not run)`;
  if (count === 0)
    return [pass(`there are no NetworkPolicies; minicni would enforce none, and no engine is here${gone}`)];
  if (count === null)
    return [
      skip(`${TITLE}: minicni enforces none, and no engine is seen here${gone}; ${describe(policies)}`),
    ];
  if (unseen.length > 0)
    return [
      skip(`${TITLE}: ${describe(policies)}; who enforces them here can't be seen: ${unseen.join("; ")}`),
    ];
  return [
    warn({
      message: `${countOf(count, "NetworkPolicy", "NetworkPolicies")}, such as ${example}, and nobody enforces ${count === 1 ? "it" : "them"} on this node${gone}`,
      evidence: [
        ...evidenceOf(left),
        "no table *-network-policies, no chains KUBE-ROUTER-*, KUBE-NWPLCY-*, cali-*, CILIUM_*, ANTREA-*, WEAVE-NPC*",
      ],
      cause:
        "the API takes policies without a word, and whoever wrote them thinks that they hold: all pods here reach each other",
      fix: [INSTALL, "kubectl get networkpolicies -A"],
    }),
  ];
}
