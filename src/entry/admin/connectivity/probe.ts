import { DEFAULT_BRIDGE } from "../../../cni/config.ts";
import { parseResult } from "../../../cni/prev.ts";
import { observeLink } from "../../../host/links.ts";
import type { Host } from "../../../host/machine.ts";
import { inNetns } from "../../../host/netns.ts";
import { type Address, formatAddress } from "../../../net/address.ts";
import { HOST, type NetnsPath } from "../../../plan/step.ts";
import { inParallel } from "../../lab/parallel.ts";
import { findPublished } from "../../node.ts";
import { VERSION } from "../../version.ts";
import { bridgeOf, type ProbeNetwork } from "../probe-network.ts";
import { PROBE_IFNAME, type ProbePod } from "../probe-pod.ts";
import { faultOf } from "../trace/run.ts";
import { type Asked, askQuestion, describeRoute } from "./ask.ts";
import { findCauses } from "./causes.ts";
import { observeWayOut, type Surroundings, textsOf } from "./collect.ts";
import { describeProbe, withAbsent } from "./judge.ts";
import { describeQuestions, type KnownPod, type Question } from "./questions.ts";
import type { ConnectivityReport } from "./report.ts";

/** Peers that are asked at once; all that is asked of one peer goes at once. */
const PEERS_AT_ONCE = 16;
/** `ip route get` for so many lost addresses. */
const MOST_ROUTES = 32;
const ETHERNET_MTU = 1500;
/** As agents have it unless told otherwise (entry/agent/settings.ts). */
const VXLAN_PORT = 8472;

/** What is to be asked besides the peers. */
export interface ProbeWish {
  readonly given: readonly Address[];
  readonly stateDir: string;
}

/** A pod that is attached, and where. */
interface AttachedPod extends KnownPod {
  readonly netns: NetnsPath;
  readonly containerId: string;
  readonly addresses: readonly Address[];
  readonly bridge: string;
  readonly mtu: number;
}

/** Attaches the sandbox of a probe; a text: why that failed. */
export async function attachPod(pod: ProbePod, network: ProbeNetwork): Promise<AttachedPod | string> {
  const answer = await pod.call("ADD");
  const fault = faultOf(answer);
  if (fault !== null) return `the ADD for network ${network.name} (${network.file}) failed: ${fault}`;
  const result = parseResult(JSON.parse(answer.stdout), network.version, "result");
  const addresses = (result?.ips ?? []).map(({ address }) => address.address);
  return {
    netns: pod.netns,
    containerId: pod.containerId,
    addresses,
    bridge: bridgeOf(network),
    families: [...new Set(addresses.map(({ family }) => family))],
    gateways: (result?.ips ?? []).flatMap(({ gateway }) => gateway ?? []),
    mtu: inNetns(pod.netns, () => observeLink(PROBE_IFNAME))?.mtu ?? ETHERNET_MTU,
  };
}

/** Asks everything. `pod`: attached, or why there is none. Throws OverdueError once the command was interrupted. */
export async function probeAll(
  { cluster, report, self, name, peers, known, notAsked, notes }: Surroundings,
  pod: AttachedPod | string,
  { given, stateDir }: ProbeWish,
  host: Host,
  tell: (what: string) => void,
): Promise<ConnectivityReport> {
  const attached = typeof pod === "string" ? null : pod;
  const mtu = attached?.mtu ?? (findPublished(stateDir, host)?.mtu || report?.mtu || ETHERNET_MTU);
  const own = self?.addresses ?? [];
  const hasTunnels = report?.settings.backend !== "host-gw";
  const questions = describeQuestions({ own, peers, pod: attached, given, mtu, hasTunnels });
  const asked = await askAll(questions, attached?.netns ?? HOST, host, tell);
  const routes = await describeRoutes(asked, host);
  const probes = withAbsent(asked.map((one) => describeProbe(one, routes)));
  const vxlanPort = report?.settings.vxlanPort ?? VXLAN_PORT;
  return {
    minicni: VERSION,
    node: name,
    source: cluster.source,
    peers: { known, probed: peers.map(({ node }) => node.name) },
    mtu,
    pod:
      attached === null
        ? null
        : { containerId: attached.containerId, addresses: textsOf(attached.addresses) },
    podFault: typeof pod === "string" ? pod : null,
    notAsked,
    notes,
    probes,
    findings: findCauses(probes, {
      mtu,
      vxlanPort,
      links: observeWayOut(peers, attached?.bridge ?? DEFAULT_BRIDGE, host),
    }),
  };
}

async function askAll(
  questions: readonly Question[],
  netns: NetnsPath,
  host: Host,
  tell: (what: string) => void,
): Promise<Asked[]> {
  const groups = new Map<string, Question[]>();
  for (const question of questions) {
    const key = question.peer ?? "";
    groups.set(key, [...(groups.get(key) ?? []), question]);
  }
  let done = 0;
  const asked = await inParallel([...groups.values()], PEERS_AT_ONCE, async (group) => {
    const answers = await Promise.all(group.map((question) => askQuestion(question, netns, host)));
    done += group.length;
    tell(`probing: ${done} of ${questions.length}`);
    return answers;
  });
  return asked.flat();
}

/** Of what was lost, as this node sends it on; a pod has one way only. */
async function describeRoutes(asked: readonly Asked[], host: Host): Promise<Map<string, string>> {
  const lost = asked.filter(({ full }) => full?.kind !== "answered").map(({ question }) => question.address);
  const texts = new Map(lost.map((address) => [formatAddress(address), address]));
  const some = [...texts].slice(0, MOST_ROUTES);
  const lines = await inParallel(some, PEERS_AT_ONCE, ([, address]) => describeRoute(address, HOST, host));
  return new Map(some.map(([text], index) => [text, lines[index] ?? ""]));
}
