import { parsePrefix } from "../../net/prefix.ts";
import { quoteWord } from "../../plan/format.ts";
import {
  adviseFirewalld,
  describeWays,
  type ForwardBlock,
  findForwardBlock,
  type PodTraffic,
  someCidrs,
} from "../../topology/forward-blocks.ts";
import type { Drop } from "../../topology/forward-walk.ts";
import { targetOf, toNftTable } from "../../topology/iptables-rules.ts";
import { FORWARD_CHAIN } from "../../topology/node-rules.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import { findFirewalls, firewallOf } from "../firewalls.ts";
import type { Firewall } from "../sections/firewall.ts";

/** More rules of a chain say no more. */
const MOST_RULES = 6;

/** A5: whoever forwards packets has to accept them; firewalls have their own rules, and Docker its policy. */
export const firewallCheck = check("A5", "firewalls", ["firewall"], ({ firewall }) => {
  const { iptables, blocks, isInUse } = firewall;
  const scope = scopeOf(firewall);
  const found = [
    ...iptables.flatMap((table) => judgeIptables(table, scope, isInUse)),
    ...blocks.flatMap((block) => judgeBlock(block, scope)),
    ...judgeBridge(firewall),
  ];
  const skipped = firewall.unseen.map((why) => skip(`firewalls: not looked at: ${why}`));
  return [...(found.length > 0 ? found : judgeRest(firewall)), ...skipped];
});

/** What is judged, and the CIDRs that a way out names. */
interface Scope {
  readonly traffic: PodTraffic;
  readonly advised: PodTraffic;
  readonly hasNodes: boolean;
}

function scopeOf({ podCidrs, clusterCidrs, bridge, hasNodes }: Firewall): Scope {
  const parsed = (texts: readonly string[]) => texts.flatMap((text) => parsePrefix(text) ?? []);
  const traffic = { podCidrs: parsed(podCidrs), clusterCidrs: parsed(clusterCidrs), bridge };
  return { traffic, advised: hasNodes ? traffic : { ...traffic, clusterCidrs: traffic.podCidrs }, hasNodes };
}

/** Where no Node is known only what pods send counts: many a firewall keeps others from beginning to talk to them. */
function waysOf({ ways }: Pick<ForwardBlock, "ways">, { hasNodes }: Scope): string | null {
  if (hasNodes) return describeWays({ ways });
  const out = ways.filter(({ direction }) => direction === "out");
  if (out.length === 0) return null;
  return `what pods here send to others (${out.map(({ family }) => `IPv${family}`).join(", ")})`;
}

/** Nothing is known to be wrong. */
function judgeRest(firewall: Firewall): Verdict[] {
  const { iptables, tables, podCidrs, unseen } = firewall;
  const names = findFirewalls(firewall);
  const here = names.length === 0 ? "no firewall known by name is here" : `here: ${names.join(", ")}`;
  const evidence = iptables.flatMap(({ program, chains: [forward] }) =>
    forward === undefined ? [] : [`${program}: -P FORWARD ${forward.policy ?? "?"}`],
  );
  if (podCidrs.length > 0) {
    const isSeen = iptables.length > 0 || tables !== null;
    return isSeen
      ? [pass(`no rule that could be seen drops what pods send each other (${here})`, evidence)]
      : [];
  }
  if (names.includes("firewalld"))
    return [
      skip(
        "firewalls: firewalld is here; whether it lets pods through can't be told, since this node's pod CIDR is not known: name the Nodes by --nodes, this one by --node",
      ),
    ];
  return unseen.length === 0 ? [pass(`no pod CIDR of this node is known yet; ${here}`, evidence)] : [];
}

function judgeIptables(
  { family, program, isOurs, chains }: Firewall["iptables"][number],
  scope: Scope,
  isInUse: boolean,
): Verdict[] {
  const block = findForwardBlock(toNftTable(family, chains), scope.traffic);
  const ways = block === null ? null : waysOf(block, scope);
  const [forward] = chains;
  if (block === null || ways === null || forward === undefined) return [];
  const jump = forward.rules.findIndex((rule) => targetOf(rule) === FORWARD_CHAIN);
  // The agent puts its jump first: before it has run nothing is wrong yet.
  if (isOurs && jump < 0 && !isInUse) return [];
  const { drop } = block;
  const rule = ruleOf(chains, drop);
  const names = chains.map(({ name }) => name);
  const culprit = firewallOf(rule === null ? "" : drop.chain, names);
  const what = rule === null ? "set this policy" : "made this rule";
  const why = !isOurs
    ? "minicni's accept rules are in the other iptables, and a packet has to pass both"
    : jump < 0
      ? `no rule of FORWARD leads to minicni's accept rules (${FORWARD_CHAIN})`
      : `it stands before minicni's accept rules (rule ${jump + 1} of FORWARD)`;
  const where =
    rule === null ? "the policy of FORWARD" : `rule ${drop.handle} of ${drop.chain} (${drop.text})`;
  return [
    fail({
      message: `${where}, ${program}, drops ${ways}`,
      evidence: [
        ...(forward.policy === null ? [] : [`-P FORWARD ${forward.policy}`]),
        ...forward.rules.slice(0, MOST_RULES),
        ...(rule === null || drop.chain === "FORWARD" ? [] : [rule]),
      ],
      cause: `${culprit === null ? "a program without known names, or a person," : culprit} ${what}; ${why}`,
      fix: adviseIptables(culprit, rule, program, family, scope.advised),
    }),
  ];
}

function ruleOf(chains: Firewall["iptables"][number]["chains"], { chain, handle }: Drop): string | null {
  if (handle === null) return null;
  return chains.find(({ name }) => name === chain)?.rules[handle - 1] ?? null;
}

function adviseIptables(
  culprit: string | null,
  rule: string | null,
  program: string,
  family: 4 | 6,
  traffic: PodTraffic,
): string[] {
  const cidrs = someCidrs({
    ...traffic,
    clusterCidrs: traffic.clusterCidrs.filter(({ address }) => address.family === family),
  });
  if (culprit === "firewalld") return adviseFirewalld(traffic);
  if (culprit === "ufw")
    return [...cidrs.flatMap((cidr) => [`ufw route allow from ${cidr}`, `ufw route allow to ${cidr}`])];
  const accepts = cidrs.flatMap((cidr) => [
    `${program} -I FORWARD 1 -s ${cidr} -j ACCEPT`,
    `${program} -I FORWARD 1 -d ${cidr} -j ACCEPT`,
  ]);
  if (rule === null && culprit === "Docker")
    return [
      `${program} -P FORWARD ACCEPT`,
      `# so that Docker leaves it so: "ip-forward-no-drop": true in /etc/docker/daemon.json (Docker 28 or later)`,
    ];
  return rule === null
    ? accepts
    : [...accepts, `# or without the rule: ${program} ${rule.replace(/^-A/, "-D")}`];
}

function judgeBlock({ table, chain, drop, ways }: Firewall["blocks"][number], scope: Scope): Verdict[] {
  const told = waysOf({ ways }, scope);
  if (told === null) return [];
  const culprit = firewallOf(table.split(" ")[1] ?? "", [drop.chain, chain]);
  const end = `${drop.chain}: ${drop.text}${drop.handle === null ? "" : `, handle ${drop.handle}`}`;
  const cidrs = someCidrs(scope.advised);
  return [
    fail({
      message: `chain ${chain} of nftables table ${table} drops ${told}`,
      evidence: [end],
      cause: `${culprit ?? "the program that made it"} judges these packets after iptables, and what minicni accepts there counts for nothing here`,
      fix:
        culprit === "firewalld"
          ? adviseFirewalld(scope.advised)
          : [
              ...cidrs.flatMap((cidr) =>
                ["saddr", "daddr"].map(
                  (side) =>
                    `nft insert rule ${table} ${quoteWord(chain)} ${cidr.includes(":") ? "ip6" : "ip"} ${side} ${cidr} accept`,
                ),
              ),
              "# and the same in the file of the program that loads this table, or it comes again",
            ],
    }),
  ];
}

/** Answers between two pods of one node pass the bridge alone: without this nobody turns a Service's address back. */
function judgeBridge({ bridgeNf, hasProxy, podCidrs }: Firewall): Verdict[] {
  if (!hasProxy) return [];
  const families = new Set(podCidrs.map((cidr) => (cidr.includes(":") ? 6 : 4)));
  const off = bridgeNf.filter(
    ({ family, value }) => value !== 1 && (families.has(family) || (families.size === 0 && family === 4)),
  );
  if (off.length === 0) return [];
  const keys = off.map(
    ({ family }) => `net.bridge.bridge-nf-call-${family === 4 ? "iptables" : "ip6tables"}`,
  );
  const isLoaded = off.every(({ value }) => value !== null);
  return [
    warn({
      message: `bridged packets pass iptables by (${keys.join(", ")}): a Service does not answer a pod of the node that its own pod is on`,
      evidence: off.map(
        ({ value }, index) => `${keys[index]} = ${value ?? "not there: br_netfilter is not loaded"}`,
      ),
      cause:
        "kube-proxy translates the answer by iptables, which sees packets of a bridge by br_netfilter alone",
      fix: [
        ...(isLoaded
          ? []
          : ["modprobe br_netfilter", "echo br_netfilter > /etc/modules-load.d/br_netfilter.conf"]),
        ...keys.flatMap((key, index) => [
          `sysctl -w ${key}=1`,
          `echo ${key}=1 ${index === 0 ? ">" : ">>"} /etc/sysctl.d/90-bridge.conf`,
        ]),
      ],
    }),
  ];
}
