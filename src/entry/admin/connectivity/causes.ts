import type { Family } from "../../../net/address.ts";
import type { Probe } from "./judge.ts";

/** A probable cause. */
export interface Finding {
  /** `n2`, `this node`, an address. */
  readonly about: string;
  readonly families: readonly Family[];
  readonly cause: string;
  readonly evidence: readonly string[];
  /** Commands, or what a person has to do. */
  readonly fix: readonly string[];
}

/** What causes depend on besides the probes. */
export interface Circumstances {
  readonly mtu: number;
  readonly vxlanPort: number;
  /** Links of this node that a pod's packet leaves by, outermost first: uplink, tunnels, bridge. */
  readonly links: readonly { readonly name: string; readonly mtu: number }[];
}

/** The probable causes of all that was lost, those of one peer together; one cause in both families is one finding. */
export function findCauses(probes: readonly Probe[], around: Circumstances): Finding[] {
  const groups = new Map<string, Probe[]>();
  for (const probe of probes) {
    const about = probe.peer ?? (probe.to === "own" ? "this node" : probe.address);
    const key = `${about} ${probe.family}`;
    groups.set(key, [...(groups.get(key) ?? []), probe]);
  }
  const findings: Finding[] = [];
  for (const [key, group] of groups) {
    if (group.every(({ status }) => status === "ok" || status === "absent")) continue;
    const about = key.slice(0, key.lastIndexOf(" "));
    const family: Family = key.endsWith("6") ? 6 : 4;
    const other = groups.get(`${about} ${family === 4 ? 6 : 4}`);
    const found = judgeGroup(group, about, around);
    const isOther = other?.every(({ status }) => status === "ok" || status === "absent") === true;
    const cause = isOther ? `${found.cause}; IPv${family === 4 ? 6 : 4} is well` : found.cause;
    const same = findings.findIndex((one) => one.about === about && one.cause === cause);
    const before = findings[same];
    const finding = { about, families: [family], ...found, cause };
    if (before === undefined) findings.push(finding);
    else {
      findings[same] = {
        ...before,
        families: [...before.families, family],
        evidence: [...new Set([...before.evidence, ...finding.evidence])],
        fix: [...new Set([...before.fix, ...finding.fix])],
      };
    }
  }
  return findings;
}

type Cause = Pick<Finding, "cause" | "evidence" | "fix">;

/** Of one peer in one family. */
function judgeGroup(group: readonly Probe[], about: string, around: Circumstances): Cause {
  const bad = group.filter(({ status }) => status === "lost" || status === "cut");
  const lost = bad.filter(({ status }) => status === "lost");
  const evidence = bad.map(describeEvidence);
  const isNode = ({ to }: Probe) => to === "node";
  const isLostWhole = (some: readonly Probe[]) =>
    some.length > 0 && some.every(({ status }) => status === "lost");
  const nodes = group.filter((probe) => isNode(probe) && probe.from === "node");
  const pods = group.filter((probe) => !isNode(probe) && probe.from === "pod");
  const noRoute = lost.filter(isWithoutRoute);
  if (noRoute.length > 0) return { ...judgeRoute(noRoute, about), evidence };
  if (lost.length === 0) return judgeSize(bad, around);
  const [first] = bad;
  if (first?.to === "own") return { ...OWN, evidence };
  if (first?.to === "given") return { ...describeGiven(about), evidence };
  if (isLostWhole(nodes) && (pods.length === 0 || isLostWhole(pods)))
    return { ...describeDown(about, nodes), evidence };
  if (isLostWhole(nodes)) return { ...describeFiltered(about), evidence };
  if (isLostWhole(pods)) return { ...judgePods(pods, about, around), evidence };
  return { ...describePartly(about), evidence };
}

/** The kernel of this node has no way: it said so itself, or leads a pod CIDR by no link of ours. */
function isWithoutRoute({ small, route, way }: Probe): boolean {
  return way === "none" || (small === "unreachable" && /unreachable|prohibit|blackhole/i.test(route ?? ""));
}

function judgeRoute(probes: readonly Probe[], about: string): Omit<Cause, "evidence"> {
  const addresses = [...new Set(probes.map(({ address }) => address))].join(", ");
  const isPods = probes.some(({ to }) => to !== "node" && to !== "given");
  return isPods
    ? {
        cause: `this node has no route to the pods of ${about} (${addresses})`,
        fix: ["minicni status", "start this node's agent, or see in its log why it does not make the route"],
      }
    : {
        cause: `this node has no route to ${addresses}`,
        fix: [`ip route get ${probes[0]?.address ?? about}`, "set the network of the nodes right"],
      };
}

function judgeSize(bad: readonly Probe[], { mtu, links }: Circumstances): Cause {
  const told = bad.flatMap(({ fits }) => fits ?? []);
  const [uplink] = links;
  const isBetweenNodes = bad.some(({ from, to }) => from === "node" && to === "node");
  const place = isBetweenNodes
    ? `a link between the nodes takes less than ${uplink === undefined ? "its ends say" : `the ${uplink.mtu} bytes of ${uplink.name}`}`
    : `a link of pods, a bridge or a tunnel takes less than the ${mtu} bytes that pods have`;
  const least = told.length === 0 ? "nobody says how much fits" : `${Math.min(...told)} bytes fit`;
  const seen = links.map((link) => `${link.name} mtu ${link.mtu}`).join(", ");
  return {
    cause: `small packets arrive, full ones that nobody may cut do not: ${place}; ${least}`,
    evidence: [...bad.map(describeEvidence), ...(seen === "" ? [] : [`links of this node: ${seen}`])],
    fix: [
      `give every link on the way the MTU that its ends have, or set MINICNI_MTU to what fits (pods have ${mtu})`,
      "minicni doctor --only B5",
    ],
  };
}

function judgePods(
  pods: readonly Probe[],
  about: string,
  { vxlanPort }: Circumstances,
): Omit<Cause, "evidence"> {
  const isTunnelled = pods.some(({ way }) => way === "tunnel");
  const status = `minicni status, on ${about}: does its agent run?`;
  if (isTunnelled) {
    return {
      cause: `${about} answers, its pods do not: the tunnel (UDP port ${vxlanPort}) is dropped on the way or on ${about}`,
      fix: [`allow UDP port ${vxlanPort} between all nodes, both ways (firewall, security group)`, status],
    };
  }
  const isUnsure = pods.every(({ to }) => to === "gateway");
  const unless = isUnsure
    ? `, unless no pod has run on ${about} yet, since the address comes with the first one`
    : "";
  return {
    cause: `${about} answers, its pods do not: the network between the nodes drops packets with pods' addresses, or ${about} does not forward${unless}`,
    fix: [
      "switch off the source/destination check of the machines in a cloud, or use MINICNI_BACKEND=vxlan",
      status,
      `minicni doctor --only A5,B6,B7, on ${about}`,
    ],
  };
}

const OWN: Omit<Cause, "evidence"> = {
  cause: "a pod does not reach its own node: a firewall of this node drops what comes from pods",
  fix: ["minicni doctor --only A5,B7", "nft list ruleset (or iptables-save): what drops in INPUT"],
};

function describeGiven(about: string): Omit<Cause, "evidence"> {
  return {
    cause: `${about} does not answer, neither by refusing UDP nor to ping`,
    fix: [`ip route get ${about}`],
  };
}

function describeDown(about: string, nodes: readonly Probe[]): Omit<Cause, "evidence"> {
  const address = nodes[0]?.address ?? about;
  return {
    cause: `${about} does not answer at all: it is down, or a firewall is in between`,
    fix: [`kubectl get node ${about}`, `ping -c 3 ${address}`],
  };
}

function describeFiltered(about: string): Omit<Cause, "evidence"> {
  return {
    cause: `pods of ${about} answer, its own address does not: a firewall drops what this node sends to it, or its refusal (ICMP)`,
    fix: ["let ICMP pass between the nodes: without it a path's MTU can't be found either"],
  };
}

function describePartly(about: string): Omit<Cause, "evidence"> {
  return {
    cause: `of ${about} some addresses answer and some do not`,
    fix: [`minicni status and minicni doctor, on ${about}`],
  };
}

/** `pod → 10.244.2.1: 100 bytes answered, 1450 bytes silent; route: …`. */
function describeEvidence({ from, address, small, full, fullBytes, fits, route }: Probe): string {
  const large = full === null ? "" : `, ${fullBytes} bytes ${full}${fits === null ? "" : ` (${fits} fit)`}`;
  const way = route === null ? "" : `; ip route get: ${route}`;
  return `${from} → ${address}: small packet ${small}${large}${way}`;
}
