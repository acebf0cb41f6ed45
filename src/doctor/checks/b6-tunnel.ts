import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Tunnel } from "../sections/tunnel.ts";
import { countOf, someOf } from "../some.ts";
import { judgeProbes } from "./b6-probes.ts";

const TITLE = "tunnel";
type Device = Tunnel["devices"][number];

/** B6: VXLAN is lost in many ways of which no program is told (flannel#2388, flannel#1279, k3s#12538). */
export const tunnelCheck = check("B6", TITLE, ["tunnel"], ({ tunnel }) => {
  if (tunnel.backend === "host-gw") return [skip(`${TITLE}: backend host-gw has none`)];
  if (!tunnel.hasAgent) return [skip(`${TITLE}: no agent works here (no agent.json, no node.json)`)];
  if (tunnel.devices.length === 0) return [skip(`${TITLE}: this Node has no InternalIP to send from`)];
  return tunnel.devices.flatMap((device) => {
    const found = [...judgeDevice(device, tunnel), ...judgeEntries(device, tunnel)];
    const probed = judgeProbes(device, tunnel);
    if (found.length + probed.length > 0) return [...found, ...probed];
    return [pass(describe(device, tunnel), evidenceOf(device))];
  });
});

function describe({ name, family, peers, observed, desired }: Device, { probes }: Tunnel): string {
  const heard = probes.filter(({ dev, tunnel }) => dev === name && tunnel).length;
  const asked = probes.filter(({ dev }) => dev === name).length;
  const tried = describeTries(peers, asked, heard);
  const checksums = observed?.txChecksum === false ? ", checksum offload off" : "";
  const to = peers === 0 ? "no peer is behind it" : `${countOf(peers, "pod CIDR")} behind it`;
  return `${name} (IPv${family}, UDP ${desired.port}): ${to}${tried}${checksums}`;
}

function describeTries(peers: number, asked: number, heard: number): string {
  if (peers === 0) return "";
  if (asked === 0) return ", not tried by a packet";
  return heard === 0 ? ", not tried: no peer asked answers at all" : `, ${heard} of ${asked} asked answer`;
}

/** As `ip -d link` has it. */
function evidenceOf({ name, observed }: Device): string[] {
  if (observed === null) return [`${name}: Device does not exist`];
  const { kind, isUp, mac, mtu, vxlan, addresses, txChecksum } = observed;
  const of = vxlan === null ? kind : `vxlan id ${vxlan.vni} local ${vxlan.local} dstport ${vxlan.port}`;
  return [
    `${name} ${isUp ? "up" : "down"} mtu ${mtu} ${mac} ${of}`,
    ...addresses.map((address) => `${name} inet ${address}`),
    `tx-checksum-ip-generic: ${txChecksum === null ? "not known" : txChecksum ? "on" : "off"}`,
  ];
}

/** The device itself. Without a peer behind it nothing is lost yet. */
function judgeDevice(device: Device, tunnel: Tunnel): Verdict[] {
  const { name, conflict, observed, peers, steps, desired } = device;
  const judge = peers === 0 ? warn : fail;
  const evidence = evidenceOf(device);
  if (conflict !== null) {
    return [
      judge({
        message: `${name} is a ${observed?.kind || "device"} and no VXLAN device`,
        evidence,
        cause: `the agent changes nothing that is not its own, so that ${countOf(peers, "pod CIDR")} can't be reached`,
        fix: [`ip link del ${name}`],
      }),
    ];
  }
  if (steps.count === 0) return [];
  const rival = findRival(device, tunnel);
  const state = observed === null ? "is not there" : observed.isUp ? "is not as it should be" : "is down";
  return [
    judge({
      message: `${name} ${state}${peers === 0 ? "" : `: ${countOf(peers, "pod CIDR")} behind it can't be reached`}`,
      evidence: [
        ...evidence,
        `wanted: vxlan id ${desired.vni} local ${desired.local} dstport ${desired.port} mtu ${desired.mtu} ${desired.mac}`,
        ...(rival === null ? [] : [rival.evidence]),
      ],
      cause:
        rival?.cause ??
        "somebody has changed it, and the agent, which repairs it within its resync period, does not run or can't",
      fix: rival === null ? steps.commands : [...rival.fix, "# the agent makes the device then"],
    }),
  ];
}

interface Rival {
  readonly evidence: string;
  readonly cause: string;
  readonly fix: readonly string[];
}

/** Who keeps the kernel from making the device, or from opening its socket. */
function findRival({ family, desired }: Device, { others, sockets }: Tunnel): Rival | null {
  const twin = others.find(({ vni, port }) => vni === desired.vni && port === desired.port);
  if (twin !== undefined) {
    return {
      evidence: `${twin.name} vxlan id ${twin.vni} local ${twin.local} dstport ${twin.port}`,
      cause: `${twin.name} has the same VNI ${twin.vni} and UDP port ${twin.port}, of which the kernel allows one device`,
      fix: [`ip link del ${twin.name}`, "# or give one of both another VNI: MINICNI_VNI"],
    };
  }
  // A socket of IPv6 takes the port of both families, unless it says otherwise.
  const socket = sockets.find((it) => it.program !== null && (it.family === family || it.family === 6));
  if (socket === undefined) return null;
  return {
    evidence: `udp port ${desired.port}: ${socket.program}`,
    cause: `${socket.program} has the UDP port ${desired.port}, so that the kernel can't receive by it`,
    fix: [
      `ss -ulnp "sport = ${desired.port}"`,
      `# stop that program, or give the tunnel another port on all nodes: MINICNI_VXLAN_PORT`,
    ],
  };
}

/** What the device must know of peers; of one that is not there all of it is missing, which says nothing more. */
function judgeEntries(
  { name, forwarding, neighbours, stale, peers, observed, conflict }: Device,
  tunnel: Tunnel,
): Verdict[] {
  if (observed === null || conflict !== null) return [];
  const found: Verdict[] = [];
  const missing = forwarding.count + neighbours.count;
  const commands = [...forwarding.commands, ...neighbours.commands];
  if (missing > 0) {
    const of = [
      ...(forwarding.count > 0 ? [countOf(forwarding.count, "forwarding entry", "forwarding entries")] : []),
      ...(neighbours.count > 0 ? [countOf(neighbours.count, "neighbour entry", "neighbour entries")] : []),
    ];
    found.push(
      fail({
        message: `${name} lacks ${someOf(of)} of the peers of ${countOf(peers, "pod CIDR")} behind it`,
        evidence: commands.map(
          (command) => `not there: ${command.replace(/^(bridge fdb|ip neigh\w*) replace /, "")}`,
        ),
        cause:
          "without them the kernel does not know where to send a peer's packets; somebody has removed them, and the agent, which repairs it within its resync period, does not run or can't",
        fix: commands,
      }),
    );
  }
  if (stale.count > 0 && tunnel.isLive) {
    found.push(
      warn({
        message: `${name} has ${countOf(stale.count, "entry", "entries")} of peers that are gone`,
        evidence: stale.commands,
        cause:
          "the agent removes them once it has heard of it: it does not run, does not reach the API, or waits since suddenly most Nodes are gone",
        fix: ["minicni status", ...stale.commands],
      }),
    );
  }
  return found;
}
