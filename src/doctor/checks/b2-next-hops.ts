import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { NextHops } from "../sections/next-hops.ts";
import { countOf, someOf } from "../some.ts";

const TITLE = "way to peers";
type Peer = NextHops["peers"][number];
type Neighbour = NextHops["neighbours"][number];

/** Nobody answered: as the kernel calls it while it still asks, and after. */
const DEAD: readonly string[] = ["FAILED", "INCOMPLETE"];

/** B2: a route whose next hop nobody answers for swallows packets without a word (cilium#31124, cilium#24777). */
export const nextHopsCheck = check("B2", TITLE, ["nextHops"], ({ nextHops }) => {
  const { peers, ours } = nextHops;
  const remote = peers.filter(({ route }) => route?.isLocal !== true);
  if (remote.length === 0) return [skip(`${TITLE}: there is no peer`)];
  const lost = remote.filter(({ route }) => route === null);
  const looped = remote.filter(({ route }) => route !== null && ours.includes(route.dev));
  const found = [
    ...(lost.length === 0 ? [] : [judgeLost(lost, remote)]),
    ...(looped.length === 0 ? [] : [judgeLooped(looped, remote)]),
    ...judgeDead(nextHops, remote),
  ];
  if (found.length > 0) return found;
  const hops = new Set(remote.map(hopOf));
  const links = new Set(remote.map(({ route }) => route?.dev ?? "?"));
  return [
    pass(
      `${countOf(remote.length, "address", "addresses")} of ${countOf(peersOf(remote).length, "peer")} by ${countOf(hops.size, "next hop")} on ${someOf([...links])}, none known dead`,
    ),
  ];
});

const hopOf = ({ address, route }: Peer) => `${route?.dev} ${route?.gateway ?? address}`;
const peersOf = (list: readonly Peer[]) => [...new Set(list.map(({ name }) => name))];

/** A Node that is known to be down explains a lot. */
function nameOf({ name, address, ready }: Peer): string {
  return `${name} ${address}${ready === null || ready === "True" ? "" : ` (its Node is not Ready: ${ready})`}`;
}

/** Of all peers it is this node's fault; of some it may be theirs. */
const levelOf = (bad: readonly Peer[], all: readonly Peer[]) => (bad.length === all.length ? fail : warn);

function judgeLost(lost: readonly Peer[], all: readonly Peer[]): Verdict {
  const [first] = lost;
  const judge = levelOf(lost, all);
  return judge({
    message: `this node has no route to ${describe(lost, all)}`,
    evidence: lost.map((peer) => `ip route get ${peer.address}: unreachable (${nameOf(peer)})`),
    cause:
      "the kernel drops what is for these nodes and for their pods; a default route is missing, or a route says unreachable, prohibit or blackhole",
    fix: [
      `ip route get ${first?.address}`,
      "ip route show table all | grep -E 'default|unreachable|prohibit|blackhole'",
    ],
  });
}

function describe(bad: readonly Peer[], all: readonly Peer[]): string {
  const names = peersOf(bad);
  if (bad.length === 1) return `${names[0]} (${bad[0]?.address})`;
  const of = bad.length === all.length ? "any peer" : `${bad.length} of ${all.length} addresses of peers`;
  return `${of}: ${someOf(names)}`;
}

function judgeLooped(looped: readonly Peer[], all: readonly Peer[]): Verdict {
  const [first] = looped;
  const dev = first?.route?.dev ?? "?";
  return fail({
    message: `the way to ${describe(looped, all)} leads into ${dev}, which is for pods`,
    evidence: looped.map((peer) => `ip route get ${peer.address}: dev ${peer.route?.dev} (${nameOf(peer)})`),
    cause:
      "a route to pods holds the addresses of nodes, so that the tunnel's own packets go into the tunnel, or into the bridge",
    fix: [`ip route get ${first?.address}`, `ip route show dev ${dev}`],
  });
}

/** Next hops that did not answer, each with all that is behind it. */
function judgeDead({ neighbours, isAsked }: NextHops, all: readonly Peer[]): Verdict[] {
  const dead = neighbours.filter(({ state }) => DEAD.includes(state));
  const hops = new Map<string, Neighbour>(
    dead.map((entry) => [`${entry.dev} ${entry.address}`, entry] as const),
  );
  const behind = all.filter((peer) => hops.has(hopOf(peer)));
  const gateways = dead.filter((entry) => behind.some(({ route }) => isVia(entry, route)));
  const direct = behind.filter(({ route }) => route?.gateway === null);
  return [
    ...gateways.map((entry) => {
      const lost = behind.filter(({ route }) => isVia(entry, route));
      const judge = isAsked ? levelOf(lost, all) : warn;
      return judge({
        message: `gateway ${entry.address} on ${entry.dev} does not answer; behind it: ${describe(lost, all)}`,
        evidence: [
          lineOf(entry),
          ...lost.map((peer) => `${nameOf(peer)} via ${entry.address} dev ${entry.dev}`),
        ],
        cause: `nobody on ${entry.dev} says that ${entry.address} is there: the gateway is down, its address is another one now, or the cable or VLAN of ${entry.dev} is the wrong one`,
        fix: [...probeOf(entry), `ip route show via ${entry.address}`],
      });
    }),
    ...(direct.length === 0 ? [] : [judgeDirect(direct, all, hops, isAsked)]),
  ];
}

const isVia = ({ dev, address }: Neighbour, route: Peer["route"]) =>
  route !== null && route.dev === dev && route.gateway === address;
/** As `ip neigh` prints it. */
const lineOf = ({ address, dev, mac, state }: Neighbour) =>
  `${address} dev ${dev}${mac === null ? "" : ` lladdr ${mac}`} ${state}`;

function probeOf({ address, dev }: Neighbour): string[] {
  return address.includes(":") ? [`ping -c 3 ${address}%${dev}`] : [`arping -c 3 -I ${dev} ${address}`];
}

function judgeDirect(
  direct: readonly Peer[],
  all: readonly Peer[],
  hops: ReadonlyMap<string, Neighbour>,
  isAsked: boolean,
): Verdict {
  const entries = direct.flatMap((peer) => hops.get(hopOf(peer)) ?? []);
  const down = direct.filter(({ ready }) => ready !== null && ready !== "True");
  const [first] = entries;
  const judge = isAsked ? levelOf(direct, all) : warn;
  return judge({
    message: `nobody ${isAsked ? "answers" : "answered"} for ${describe(direct, all)} on ${someOf([...new Set(entries.map(({ dev }) => dev))])}`,
    evidence: [...entries.map(lineOf), ...down.map(nameOf)],
    cause:
      down.length === direct.length
        ? "these Nodes are not Ready: their machines are down, or cut off"
        : "the machine is down, it has another address now, or it is not on this link at all (a cloud that routes between its VMs, a netmask that is too wide): then packets to its pods are lost",
    fix: first === undefined ? [] : [...probeOf(first), `kubectl get node ${direct[0]?.name} -o wide`],
  });
}
