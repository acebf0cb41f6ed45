import { fail, type Verdict, warn } from "../finding.ts";
import type { Mtu } from "../sections/mtu.ts";
import { countOf, someOf } from "../some.ts";

type Attachment = Mtu["attachments"][number];

/** Each pod's two ends: against each other, and against what pods should have. `pods`: bytes. */
export function judgeAttachments({ attachments }: Mtu, pods: number): Verdict[] {
  const uneven = attachments.filter(
    ({ hostMtu, podMtu }) => hostMtu !== null && podMtu !== null && hostMtu < podMtu,
  );
  const rest = attachments.filter((it) => !it.isOwn && !uneven.includes(it));
  const wide = rest.filter((it) => (mtuOf(it) ?? pods) > pods);
  const narrow = rest.filter((it) => (mtuOf(it) ?? pods) < pods);
  return [
    ...judgeUneven(uneven),
    ...judgeAll(
      wide,
      pods,
      fail,
      "larger",
      "their full packets do not fit and are lost: connections begin well and hang",
    ),
    ...judgeAll(
      narrow,
      pods,
      warn,
      "smaller",
      "the way became wider after they came: throughput is lost, nothing else",
    ),
  ];
}

const mtuOf = ({ hostMtu, podMtu }: Attachment) => podMtu ?? hostMtu;
const lineOf = ({ key, hostVeth, hostMtu, ifname, podMtu }: Attachment) =>
  `${key}: ${hostVeth} mtu ${hostMtu ?? "?"}, ${ifname} in the pod mtu ${podMtu ?? "?"}`;

/** The far end of a veth drops what is larger than it. */
function judgeUneven(uneven: readonly Attachment[]): Verdict[] {
  const [first] = uneven;
  if (first === undefined) return [];
  const who = uneven.length === 1 ? `pod ${first.key}` : `${countOf(uneven.length, "pod")}`;
  return [
    fail({
      message: `${who}: the pod's end of its link has ${first.podMtu} bytes, the node's ${first.hostMtu}`,
      evidence: uneven.map(lineOf),
      cause:
        "what the pod sends is dropped when it is larger than the node's end takes: somebody has changed one of both",
      fix: uneven.slice(0, 4).map(({ hostVeth, podMtu }) => `ip link set ${hostVeth} mtu ${podMtu}`),
    }),
  ];
}

function judgeAll(
  some: readonly Attachment[],
  pods: number,
  judge: typeof fail,
  how: string,
  cause: string,
): Verdict[] {
  const [first] = some;
  if (first === undefined) return [];
  const keys = someOf(some.map(({ key }) => key));
  return [
    judge({
      message: `${countOf(some.length, "pod")} ${some.length === 1 ? "has" : "have"} a ${how} MTU than the ${pods} bytes of this node: ${keys}`,
      evidence: some.map(lineOf),
      cause,
      fix: [
        ...some.slice(0, 4).map(({ hostVeth, netns, ifname }) => {
          return `ip link set ${hostVeth} mtu ${pods} && nsenter --net=${netns} ip link set ${ifname} mtu ${pods}`;
        }),
        ...(some.length > 4 ? [`# and ${some.length - 4} more: those of --json`] : []),
      ],
    }),
  ];
}
