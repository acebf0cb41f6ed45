import { parseAddress } from "../../net/address.ts";
import { collides, formatHostPort, type HostPort } from "../../net/host-port.ts";
import { quoteWord } from "../../plan/format.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import { shortId } from "../ipam-states.ts";
import type { HostPorts } from "../sections/host-ports.ts";
import { countOf, someOf } from "../some.ts";

type Claim = HostPorts["claims"][number];
type Change = HostPorts["changes"][number];
type Other = HostPorts["others"][number];

/**
 * B8: rules are written when a pod comes, and lost when a firewall starts anew (plugins#512); or stay when it went without a
 * word, and lead its port to whoever has its address now (rke#3440).
 */
export const hostPortsCheck = check("B8", "host ports", ["hostPorts"], ({ hostPorts }) => {
  const { claims, unseen, others } = hostPorts;
  const found = [
    ...judgeMissing(hostPorts),
    ...judgeUnlisted(hostPorts),
    ...judgeOthers(hostPorts),
    ...judgeGone(hostPorts),
    ...judgeExtra(hostPorts),
    ...judgeLocalnets(hostPorts),
    ...unseen.map((what) => skip(`host ports: not looked at: ${what}`)),
  ];
  if (found.length > 0) return found;
  const ports = claims.flatMap(portsOf);
  if (ports.length === 0)
    return [pass("no pod of this node has a host port of ours, and no rule is left of one", tell(others))];
  const pods = countOf(claims.length, "pod");
  return [pass(`${countOf(ports.length, "host port")} of ${pods}, all with their rules`, tell(others))];
});

const tell = (others: readonly Other[]) =>
  others.length === 0 ? [] : [`${countOf(others.length, "rule")} of the portmap plugin, for other ports`];

function portsOf({ ports }: Claim): HostPort[] {
  return ports.map(({ hostIp, ...port }) => ({
    ...port,
    hostIp: hostIp === null ? null : parseAddress(hostIp),
  }));
}

const nameOf = ({ containerId, ifname }: Claim) => `container ${shortId(containerId)} ${ifname}`;
const linesOf = (claim: Claim) =>
  portsOf(claim).map(
    (port) =>
      `${formatHostPort(port)} to ${claim.targets.join(", ")} port ${port.containerPort} (${nameOf(claim)})`,
  );

const ADDS = /^(-A|-I|add element|add rule)\b/;
const DELETES = /^(-D|-X|delete element)\b/;

/** A line as a command for a shell. */
function commandOf({ program, table, line }: Change): string {
  if (program === "nft") return `nft ${quoteWord(line)}`;
  const chain = /^:(\S+) /.exec(line)?.[1];
  const words = chain === undefined ? line : `-N ${chain}`;
  return `${program} -w -t ${table} ${words}`;
}

function judgeMissing({ changes, claims, hasAgent }: HostPorts): Verdict[] {
  const missing = changes.filter(({ line }) => ADDS.test(line));
  if (missing.length === 0) return [];
  const live = claims.filter(({ state }) => state === "live");
  const affected = live.flatMap((claim) => {
    const ports = claim.ports.filter((port) => missing.some(({ line }) => names(line, port, claim)));
    return ports.length === 0 ? [] : [{ ...claim, ports }];
  });
  // A jump or a chain that leads to the ports: none of them is reached.
  const cut = affected.length > 0 ? affected : live;
  const ports = cut.flatMap((claim) => portsOf(claim).map(formatHostPort));
  return [
    fail({
      message: `${countOf(missing.length, "rule")} of host ports ${missing.length === 1 ? "is" : "are"} missing: ${someOf([...new Set(ports)])} ${ports.length === 1 ? "leads" : "lead"} to no pod`,
      evidence: [
        ...missing.map(({ program, line }) => `${program}: not there: ${line}`),
        ...cut.flatMap(linesOf),
      ],
      cause:
        "somebody flushed them: a firewall that started anew, `iptables -F`, or a restore of an older set of rules",
      fix: hasAgent
        ? ["# the agent puts them back within seconds; where it does not, its log says why: minicni status"]
        : changes.map(commandOf),
    }),
  ];
}

/** Whether a line of iptables or nft is about a port of a claim. */
function names(line: string, { protocol, hostPort }: Claim["ports"][number], { targets }: Claim): boolean {
  const number = { tcp: 6, udp: 17, sctp: 132 }[protocol];
  const isPort = line.includes(` --dport ${hostPort} `) || line.includes(` ${number} . ${hostPort} : `);
  return isPort && targets.some((target) => line.includes(target));
}

function judgeUnlisted({ claims }: HostPorts): Verdict[] {
  const unlisted = claims.filter(({ state }) => state === "unlisted");
  if (unlisted.length === 0) return [];
  return [
    fail({
      message: `host ports of ${countOf(unlisted.length, "pod")} are in no list of claims: nobody makes their rules`,
      evidence: unlisted.flatMap(linesOf),
      cause: "somebody removed or replaced hostports/claims.json in the state folder",
      fix: ["# remove hostports/claims.json from the state folder: the agent makes it anew from the records"],
    }),
  ];
}

/** DNAT is decided once a connection: whoever comes first has it. */
function judgeOthers({ claims, others }: HostPorts): Verdict[] {
  const live = claims.filter(({ state }) => state !== "gone");
  return others.flatMap((other): Verdict[] => {
    const hostIp = other.hostIp === null ? null : parseAddress(other.hostIp);
    const port = { protocol: other.protocol, hostIp, hostPort: other.hostPort, containerPort: 0 };
    const claim = live.find((it) => portsOf(it).some((own) => collides(own, port)));
    if (claim === undefined) return [];
    // What leads to the same place does no harm.
    const isSame = claim.targets.some(
      (target) => other.to.startsWith(`${target}:`) || other.to.startsWith(`[${target}]:`),
    );
    if (isSame) return [];
    const judge = other.isBefore === true ? fail : warn;
    const verb =
      other.isBefore === true ? "catches" : other.isBefore === null ? "may catch" : "is left behind ours for";
    return [
      judge({
        message: `a rule of the portmap plugin ${verb} ${formatHostPort(port)}, the host port of ${nameOf(claim)}: it leads to ${other.to}`,
        evidence: [`${other.program}: ${other.rule}`, ...linesOf(claim)],
        cause:
          "the portmap plugin wrote it for a pod of before, and its DEL never came: nobody takes it away by itself",
        fix: [fixOf(other)],
      }),
    ];
  });
}

function fixOf({ program, rule, chain, family }: Other): string {
  if (program !== "nft") return `${program} -w -t nat ${rule.replace(/^-A /, "-D ")}`;
  const table = `${family === 4 ? "ip" : "ip6"} cni_hostport`;
  return `# \`nft -a list chain ${table} ${chain}\` shows its handle; then: nft delete rule ${table} ${chain} handle N`;
}

function judgeGone({ claims, hasAgent, staleTargets }: HostPorts): Verdict[] {
  const gone = claims.filter(({ state }) => state === "gone");
  if (gone.length === 0 && staleTargets.length === 0) return [];
  const first = gone[0];
  const address = first?.targets[0];
  return [
    warn({
      message:
        gone.length > 0
          ? `host ports of ${countOf(gone.length, "pod")} that ${gone.length === 1 ? "is" : "are"} gone are still held: ${someOf(gone.flatMap((claim) => portsOf(claim).map(formatHostPort)))}`
          : `rules of host ports may lead to pods that are gone: ${someOf(staleTargets)}`,
      evidence: [...gone.flatMap(linesOf), ...staleTargets.map((target) => `not settled: ${target}`)],
      cause:
        gone.length > 0
          ? "their DEL never came: no other pod gets these ports, and packets to them are lost"
          : "they could not be removed when the pods went",
      fix: [
        ...(address === undefined ? [] : [`minicni ipam release --network ${first?.network} ${address}`]),
        ...(hasAgent ? ["# or wait: the agent removes them"] : []),
        ...(address === undefined && !hasAgent
          ? ["# the next pod with a host port, or an agent, removes them"]
          : []),
      ],
    }),
  ];
}

function judgeExtra({ changes }: HostPorts): Verdict[] {
  const hasMissing = changes.some(({ line }) => ADDS.test(line));
  const extra = changes.filter(({ line }) => DELETES.test(line));
  const isTable = changes.some(({ line }) => line.startsWith("delete table"));
  // Then the whole is made anew, and told as such.
  if (hasMissing || (extra.length === 0 && !isTable)) return [];
  return [
    warn({
      message: `${countOf(Math.max(1, extra.length), "rule")} of host ports ${extra.length > 1 ? "are" : "is"} for no pod`,
      evidence: extra.map(({ program, line }) => `${program}: ${line.replace(/^-D /, "-A ")}`),
      cause:
        "left by a pod that is gone, or written by hand into a chain of ours: it leads to whoever has that address next",
      fix: changes.filter(({ line }) => !line.startsWith("add table")).map(commandOf),
    }),
  ];
}

function judgeLocalnets({ shutLocalnets }: HostPorts): Verdict[] {
  if (shutLocalnets.length === 0) return [];
  return [
    fail({
      message: `pods on ${someOf(shutLocalnets)} should be reached at 127.0.0.1 and are not`,
      evidence: shutLocalnets.map((bridge) => `net.ipv4.conf.${bridge}.route_localnet = 0`),
      cause: "somebody set it back (hostPortLocalhost needs it)",
      fix: shutLocalnets.map((bridge) => `sysctl -w net/ipv4/conf/${bridge}/route_localnet=1`),
    }),
  ];
}
