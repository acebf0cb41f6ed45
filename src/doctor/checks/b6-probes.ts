import { fail, type Verdict, warn } from "../finding.ts";
import type { Tunnel } from "../sections/tunnel.ts";
import { someOf } from "../some.ts";

type Device = Tunnel["devices"][number];
type Probe = Tunnel["probes"][number];

/** What comes through the tunnel: only a peer that answers by its node address can say that the tunnel is at fault. */
export function judgeProbes(device: Device, { probes }: Tunnel): Verdict[] {
  const own = probes.filter(({ dev, node }) => dev === device.name && node);
  const offload = own.filter(({ tunnel, software }) => !tunnel && software);
  const lost = own.filter(({ tunnel, software }) => !tunnel && !software);
  return [
    ...(offload.length === 0 ? [] : [judgeOffload(device, offload)]),
    ...(lost.length === 0 ? [] : [judgeLost(device, lost, own)]),
  ];
}

const answers = (does: boolean) => (does ? "answers" : "is silent");
const lineOf = ({ peer, nodeAddress, tunnelAddress, node, tunnel, software }: Probe) =>
  `${peer}: ${nodeAddress} ${answers(node)}; ${tunnelAddress} through the tunnel ${answers(tunnel)}, with a checksum by the kernel it ${answers(software)}`;

function judgeOffload({ name, observed }: Device, probes: readonly Probe[]): Verdict {
  return fail({
    message: `packets whose checksum ${name} leaves to hardware do not arrive at ${someOf(probes.map(({ peer }) => peer))}`,
    evidence: [
      ...probes.map(lineOf),
      `tx-checksum-ip-generic of ${name}: ${observed?.txChecksum === false ? "off" : "on"}`,
    ],
    cause:
      "a NIC, its driver or a virtual switch does not finish the inner checksum, so that ping works and TCP and UDP do not, or only after 63 s (flannel#1279, flannel#2152); the agent's own test switches this off, so that it does not run or has come to no verdict yet",
    fix: [`ethtool -K ${name} tx-checksum-ip-generic off`],
  });
}

function judgeLost(
  { name, family, desired }: Device,
  lost: readonly Probe[],
  known: readonly Probe[],
): Verdict {
  const judge = lost.length === known.length ? fail : warn;
  const [first] = lost;
  const peers = lost.map(({ peer }) => peer);
  const program = family === 4 ? "iptables" : "ip6tables";
  return judge({
    message: `UDP ${desired.port} (IPv${family}) is lost between this node and ${someOf(peers)}: nothing comes through ${name}, though ${lost.length === 1 ? "the node answers" : "the nodes answer"}`,
    evidence: lost.map(lineOf),
    cause: `a firewall of either node, a security group, or a hypervisor that takes VXLAN for its own (VMware NSX: flannel#2388) drops it, on the way there or back; or no agent of the same VNI and port works on ${first?.peer}, which \`minicni doctor --only B6\` tells there`,
    fix: [
      `${program} -I INPUT -p udp --dport ${desired.port} -s ${first?.nodeAddress} -j ACCEPT`,
      `# on ${first?.peer} and here; firewalld: firewall-cmd --permanent --add-port=${desired.port}/udp; clouds: allow UDP ${desired.port} between nodes for IPv${family} as well`,
      `# on a hypervisor that takes the port: another MINICNI_VXLAN_PORT on all nodes`,
      `tcpdump -ni any udp port ${desired.port} and host ${first?.nodeAddress}`,
    ],
  });
}
