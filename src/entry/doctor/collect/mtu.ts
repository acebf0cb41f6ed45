import { DEFAULT_BRIDGE } from "../../../cni/config.ts";
import type { Mtu } from "../../../doctor/sections/mtu.ts";
import { observeLink } from "../../../host/links.ts";
import type { Host } from "../../../host/machine.ts";
import { inNetns } from "../../../host/netns.ts";
import { askSized, type SizedAnswer } from "../../../host/path-probe.ts";
import { readRecord, recordedAttachments } from "../../../host/records.ts";
import { type Address, formatAddress } from "../../../net/address.ts";
import { hashHex } from "../../../net/hash.ts";
import { TUNNEL_OVERHEAD } from "../../../topology/tunnel.ts";
import { leastMtu } from "../../agent/mtu.ts";
import { type KnownNetwork, knownNetworks } from "../../agent/networks.ts";
import { findPublished } from "../../node.ts";
import type { DoctorContext } from "./context.ts";
import { linkSettings, type NetworkView, sample, viewNetwork } from "./network-view.ts";

const MOST_PEERS = 5;
const SMALL_BYTES = 100;
/** Of each of two tries; then `ping` where there is one. */
const ANSWER_MS = 150;
const PING_SECONDS = "0.5";
const PING_TIMEOUT_MS = 1_000;
const RATE_LIMIT_MS = 1_050;
/** Bytes of IP and ICMP header (RFC 791, 8200, 792). */
const PING_HEADERS = { 4: 20 + 8, 6: 40 + 8 } as const;

/** The MTU of everything on the way of a pod's packet, and whether a full one arrives. */
export async function collectMtu(context: DoctorContext): Promise<Mtu> {
  const view = viewNetwork(context);
  const { host, settings } = context;
  const { mtu: chosen } = linkSettings(context);
  const published = findPublished(settings.stateDir, host)?.mtu ?? null;
  const fits = published ?? leastMtu(view.paths, view.devices, view.underlay.links);
  const { networks } = knownNetworks(host, settings);
  const bridges = namesOfBridges(networks);
  const bridge = view.seen.links.find(({ name, kind }) => kind === "bridge" && bridges.includes(name));
  return {
    published,
    chosen,
    uplinks: [...view.underlay.links].map(([family, { name, mtu }]) => ({ family, name, mtu })),
    tunnels: view.devices.map(({ underlay, link, peers }) => ({
      name: link.name,
      family: underlay,
      mtu: view.seen.links.find(({ name, kind }) => name === link.name && kind === "vxlan")?.mtu ?? null,
      desired: link.mtu,
      peers: peers.length,
    })),
    bridge: bridge === undefined ? null : { name: bridge.name, mtu: bridge.mtu },
    attachments: attachmentsOf(networks, host),
    probes: settings.mayProbe ? await probe(view, fits, host) : [],
  };
}

/** Those that take the MTU of pods: a configuration that says one is for its own bridge to follow. */
function namesOfBridges(networks: readonly KnownNetwork[]): string[] {
  const chosen = networks.filter(({ conf }) => Boolean(conf.raw.mtu)).map(({ conf }) => conf.bridge);
  const names = [DEFAULT_BRIDGE, ...networks.map(({ conf }) => conf.bridge)];
  return names.filter((name) => !chosen.includes(name));
}

/** Every attachment with a veth of ours, by its record. */
function attachmentsOf(networks: readonly KnownNetwork[], host: Host): Mtu["attachments"] {
  return networks.flatMap(({ conf, file }) =>
    recordedAttachments(host, conf.stateDir, conf.network).flatMap((key): Mtu["attachments"] => {
      const record = readRecord(host, conf.stateDir, key);
      if (record?.phase !== "complete" || record.kind !== "bridge" || record.bootId !== host.bootId())
        return [];
      const { hostVeth, netns, tuning } = record;
      return [
        {
          key: `${key.containerId}/${key.ifname}`,
          netns,
          ifname: key.ifname,
          hostVeth,
          hostMtu: host.link(hostVeth)?.mtu ?? null,
          podMtu: podMtu(netns, key.ifname),
          // Whose configuration is not known may have had one.
          isOwn: file === null || Boolean(conf.raw.mtu) || tuning?.mtu !== undefined,
        },
      ];
    }),
  );
}

/** Null for a namespace that is gone or that can't be entered from here. */
function podMtu(netns: string, ifname: string): number | null {
  try {
    return inNetns(netns, () => observeLink(ifname))?.mtu ?? null;
  } catch {
    return null;
  }
}

interface Target {
  readonly peer: string;
  readonly address: Address;
  readonly isTunnelled: boolean;
  readonly bytes: number;
}

/** A packet as large as those of pods are on the uplink, to up to five peers at once. */
async function probe(view: NetworkView, fits: number, host: Host): Promise<Mtu["probes"]> {
  const targets = new Map<string, Target>();
  for (const path of view.paths) {
    const isTunnelled = path.kind === "tunnel";
    const address = isTunnelled ? path.remote : path.via;
    const bytes = fits + (isTunnelled ? TUNNEL_OVERHEAD[path.underlay] : 0);
    targets.set(formatAddress(address), { peer: path.peer.name, address, isTunnelled, bytes });
  }
  const seed = Number.parseInt(hashHex(view.self.name).slice(0, 8), 16);
  const some = sample([...targets.values()], MOST_PEERS, seed);
  const routes = host.lookupRoutes(some.map(({ address }) => address));
  return Promise.all(
    some.map(async ({ peer, address, isTunnelled, bytes }, place) => {
      const [small, large] = await askBoth(address, bytes, host);
      const dev = view.seen.links.find(({ index }) => index === routes[place]?.ifindex)?.name ?? "?";
      return { peer, address: formatAddress(address), dev, bytes, isTunnelled, small, large };
    }),
  );
}

/**
 * The full packet first, since machines say "port unreachable" to one address once a second only (icmp_ratelimit of
 * ip-sysctl.rst): one that is not answered counts once it was sent again, after a second, and a small one was answered.
 */
async function askBoth(address: Address, bytes: number, host: Host): Promise<[SizedAnswer, SizedAnswer]> {
  const large = await askOnce(address, bytes, host);
  if (large === "answered") return ["answered", large];
  const small = await askOnce(address, SMALL_BYTES, host);
  if (small !== "answered" || large !== "silent") return [small, large];
  await Bun.sleep(RATE_LIMIT_MS);
  return [small, await askOnce(address, bytes, host)];
}

/** By UDP; where nobody refuses, as behind a firewall, by `ping`: its answers are not limited either. */
async function askOnce(address: Address, packetBytes: number, host: Host): Promise<SizedAnswer> {
  const answer = await askSized({ address, packetBytes, timeoutMs: ANSWER_MS });
  if (answer !== "silent" || host.findProgram("ping") === null) return answer;
  const payload = String(packetBytes - PING_HEADERS[address.family]);
  const words = [
    "-n",
    "-q",
    "-c",
    "1",
    "-W",
    PING_SECONDS,
    "-M",
    "do",
    "-s",
    payload,
    formatAddress(address),
  ];
  try {
    const done = await host.spawn({ argv: ["ping", ...words], timeoutMs: PING_TIMEOUT_MS });
    if (done.exitCode === 0) return "answered";
    return /too long|frag needed|too big/i.test(done.stdout + done.stderr) ? "too big" : "silent";
  } catch {
    return "silent";
  }
}
