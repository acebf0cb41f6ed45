import { TUNNEL_OVERHEAD } from "../../topology/tunnel.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Mtu } from "../sections/mtu.ts";
import { countOf, someOf } from "../some.ts";
import { judgeAttachments } from "./b5-attachments.ts";

const TITLE = "MTU";

/** B5: a packet that does not fit is lost without a word: connections begin well and hang (flannel#1775, flannel#1011). */
export const mtuCheck = check("B5", TITLE, ["mtu"], ({ mtu }) => {
  const fits = fitting(mtu);
  const pods = mtu.published ?? fits;
  if (pods === null)
    return [skip(`${TITLE}: no link has a node address, so that nothing is known of its size`)];
  const found = [
    ...judgePublished(mtu, fits),
    ...judgeTunnels(mtu, pods),
    ...judgeBridge(mtu, pods),
    ...judgeAttachments(mtu, pods),
    ...judgeProbes(mtu),
  ];
  if (found.length > 0) return found;
  return [pass(`${pods} bytes for pods fit ${describeWays(mtu)}; ${describeProbes(mtu)}`, evidenceOf(mtu))];
});

/**
 * Bytes that fit into every way in use: the uplink whole where peers are direct, less 50 (IPv4) or 70 (IPv6) where one is
 * behind a tunnel. Null: nothing is known.
 */
function fitting({ uplinks, tunnels }: Mtu): number | null {
  const rooms = uplinks.map(({ family, mtu }) => {
    const used = tunnels.find((tunnel) => tunnel.family === family && tunnel.peers > 0);
    if (used === undefined) return mtu;
    const room = mtu - TUNNEL_OVERHEAD[family];
    // The device is never narrower than IPv6 allows: its outer IPv4 packets go in fragments then.
    return Math.min(mtu, family === 4 ? Math.max(room, used.desired) : room);
  });
  return rooms.length === 0 ? null : Math.min(...rooms);
}

function evidenceOf({ published, uplinks, tunnels, bridge }: Mtu): string[] {
  return [
    ...uplinks.map(({ name, mtu, family }) => `${name} mtu ${mtu} (node address, IPv${family})`),
    ...tunnels.flatMap(({ name, mtu }) => (mtu === null ? [] : [`${name} mtu ${mtu}`])),
    ...(bridge === null ? [] : [`${bridge.name} mtu ${bridge.mtu}`]),
    ...(published === null ? [] : [`node.json: "mtu":${published}`]),
  ];
}

function describeWays({ uplinks, tunnels }: Mtu): string {
  const ways = uplinks.map(({ name, mtu, family }) => {
    const isUsed = tunnels.some((tunnel) => tunnel.family === family && tunnel.peers > 0);
    return `${name} (${mtu}${isUsed ? `, less ${TUNNEL_OVERHEAD[family]} of the tunnel` : ""})`;
  });
  return ways.length === 0 ? "whatever link is used" : someOf([...new Set(ways)]);
}

function describeProbes({ probes }: Mtu): string {
  const heard = probes.filter(({ large }) => large === "answered").length;
  if (probes.length === 0) return "no packet was sent to try it";
  if (heard === 0)
    return `none of ${countOf(probes.length, "peer")} answers at all, so that it was not tried`;
  return `a full packet reaches ${heard} of ${countOf(probes.length, "peer")} asked`;
}

/** What pods get against what fits. */
function judgePublished(mtu: Mtu, fits: number | null): Verdict[] {
  const { published, chosen } = mtu;
  if (published === null || fits === null || published === fits) return [];
  const evidence = evidenceOf(mtu);
  if (published > fits) {
    return [
      fail({
        message: `pods have an MTU of ${published} bytes, and only ${fits} fit ${describeWays(mtu)}`,
        evidence: chosen === 0 ? evidence : [...evidence, `MINICNI_MTU = ${chosen}`],
        cause:
          chosen === 0
            ? "the link became narrower and the agent has not followed: it does not run, or can't change it; full packets of pods are lost and connections hang"
            : "the setting is larger than what the link carries: full packets of pods are lost, and connections hang",
        fix:
          chosen === 0
            ? ["minicni status", "kubectl -n kube-system rollout restart daemonset minicni"]
            : ["kubectl -n kube-system edit configmap minicni", `# MINICNI_MTU: "0" (detect), or ${fits}`],
      }),
    ];
  }
  // Who chose a smaller one knows why.
  if (chosen !== 0) return [];
  return [
    warn({
      message: `pods have an MTU of ${published} bytes, and ${fits} would fit ${describeWays(mtu)}`,
      evidence,
      cause:
        "the link became wider, or the tunnel is not used any more, and the agent has not followed: throughput is lost, nothing else",
      fix: ["minicni status", "kubectl -n kube-system rollout restart daemonset minicni"],
    }),
  ];
}

function judgeTunnels({ tunnels }: Mtu, pods: number): Verdict[] {
  return tunnels.flatMap(({ name, mtu, desired, family, peers }): Verdict[] => {
    if (mtu === null || mtu === desired || (mtu < desired && mtu >= pods)) return [];
    const judge = peers === 0 ? warn : fail;
    return [
      judge({
        message: `${name} has an MTU of ${mtu} bytes, wanted ${desired}`,
        evidence: [`${name} mtu ${mtu}`, `pods: ${pods}`],
        cause:
          mtu > desired
            ? `with the ${TUNNEL_OVERHEAD[family]} bytes of VXLAN its packets are larger than the uplink's`
            : `pods send ${pods} bytes, more than it takes: somebody else has set it`,
        fix: [`ip link set ${name} mtu ${desired}`],
      }),
    ];
  });
}

/** A bridge takes the least MTU of its ports as long as nobody sets it. */
function judgeBridge({ bridge, attachments }: Mtu, pods: number): Verdict[] {
  const chosen = attachments
    .filter(({ isOwn }) => isOwn)
    .map(({ hostMtu, podMtu }) => hostMtu ?? podMtu ?? pods);
  if (bridge === null || bridge.mtu >= Math.min(pods, ...chosen)) return [];
  return [
    fail({
      message: `${bridge.name} has an MTU of ${bridge.mtu} bytes, and pods have ${pods}`,
      evidence: [`${bridge.name} mtu ${bridge.mtu}`],
      cause: `what comes for pods and is larger than ${bridge.mtu} bytes is refused at the bridge, and lost where ICMP is filtered`,
      fix: [`ip link set ${bridge.name} mtu ${pods}`],
    }),
  ];
}

/** A peer that answers a small packet and no full one has something on the way that takes less than its ends. */
function judgeProbes({ probes }: Mtu): Verdict[] {
  const known = probes.filter(({ small }) => small === "answered");
  const lost = known.filter(({ large }) => large !== "answered");
  const [first] = lost;
  if (first === undefined) return [];
  const judge = lost.length === known.length ? fail : warn;
  const payload = first.bytes - (first.address.includes(":") ? 48 : 28);
  const names = someOf(lost.map(({ peer }) => peer));
  return [
    judge({
      message: `packets of ${first.bytes} bytes that nobody may cut do not reach ${names}; small ones do`,
      evidence: lost.map(
        ({ peer, address, dev, bytes, large }) =>
          `${peer} ${address} dev ${dev}: 100 bytes answered, ${bytes} bytes ${large}`,
      ),
      cause: `something between ${first.dev} and the peer takes less than ${first.bytes} bytes (a cloud's network, a VPN, a switch without jumbo frames), or the peer's own link does: connections of pods begin well and hang`,
      fix: [
        `ping -M do -c 1 -s ${payload} ${first.address}`,
        `# find the size that passes and set it everywhere: ip link set ${first.dev} mtu SIZE (the agent follows), or MINICNI_MTU${first.isTunnelled ? ", less the tunnel's bytes" : ""}`,
      ],
    }),
  ];
}
