import type { Family } from "../../../net/address.ts";
import { callSocket } from "../../agent/calls.ts";
import { SERVED, STANDALONE } from "../measure.ts";
import type { Peers } from "../peers.ts";
import type { Programs } from "./programs.ts";

/** JSON that goes to a plugin, or comes from one. */
export type Json = Readonly<Record<string, unknown>>;

/** One program of a chain, as a command line, its configuration, and variables beside those of CNI. */
export interface Link {
  readonly argv: readonly string[];
  readonly conf: Json;
  readonly env?: Readonly<Record<string, string>>;
}

/** A set of plugins that is measured. */
export interface PluginSet {
  readonly subject: string;
  /** The command line of the program that makes the veth pair; the folder of its kind, where others may follow it. */
  readonly argv: readonly string[];
  readonly type: string;
  readonly folder: string;
  /** An agent runs on the node, and the program hands calls over to it. */
  readonly isServed: boolean;
}

/** Limits of a pod by the keys of `runtimeConfig.bandwidth`: bits per second, and bits. */
export interface LimitKeys {
  readonly ingressRate: number;
  readonly ingressBurst: number;
  readonly egressRate: number;
  readonly egressBurst: number;
}

/** What a network asks for beyond a bridge, an address and routes. */
export interface Extras {
  readonly family: Family;
  readonly ipMasq: boolean;
  /** A host port for each pod: by the plugin portmap, or by ours itself. */
  readonly hostPort: boolean;
  /** Limits for each pod: by the plugin bandwidth, or by ours itself; null: none. */
  readonly limits: LimitKeys | null;
}

export const NO_EXTRAS: Extras = { family: 4, ipMasq: false, hostPort: false, limits: null };

/** 100 Mbit/s in both directions, with a burst of 1 MB. */
export const LIMITS: LimitKeys = {
  ingressRate: 100_000_000,
  ingressBurst: 8_000_000,
  egressRate: 100_000_000,
  egressBurst: 8_000_000,
};

/** CNI versions before 1.1.0 are all that Debian's plugins of 2022 know. */
export const CNI_VERSION = "1.0.0";
export const NETWORK = "bench";
const OURS = "minicni";
export const BRIDGE = "bench0";
export const POD_INTERFACE = "eth0";
export const GATEWAY = "198.18.0.1";
export const PREFIX_LENGTH = 16;
/** A /16 from the block for benchmarks (RFC 2544), and one like it (RFC 4193); the first address is the gateway. */
const RANGES: Readonly<Record<Family, { subnet: string; gateway: string; everywhere: string }>> = {
  4: { subnet: "198.18.0.0/16", gateway: GATEWAY, everywhere: "0.0.0.0/0" },
  6: { subnet: "fd00:198:18::/112", gateway: "fd00:198:18::1", everywhere: "::/0" },
};
const FIRST_PORT = 20_000;
/** CNI_PATH where there are no other plugins: never empty, which no runtime passes. */
const NO_FOLDER = "/opt/cni/bin";

/** The subject's name of reference plugins. */
export function peerSubject({ version }: Peers): string {
  return `bridge + host-local ${version}`;
}

/** The plugin sets: ours in both its ways, and the peers'. */
export function describePlugins({ launcher, standalone }: Programs, peers: readonly Peers[]): PluginSet[] {
  const ours = { type: OURS, folder: peers[0]?.folder ?? NO_FOLDER };
  return [
    { subject: SERVED, argv: [launcher], isServed: true, ...ours },
    { subject: STANDALONE, argv: [standalone], isServed: false, ...ours },
    ...peers.map(describePeer),
  ];
}

/** Reference plugins as a set. */
export function describePeer(peer: Peers): PluginSet {
  const { folder } = peer;
  return { subject: peerSubject(peer), argv: [`${folder}/bridge`], type: "bridge", folder, isServed: false };
}

/** Our binary alone as a set, by the command line that runs it. */
export function describeOurs(argv: readonly string[]): PluginSet {
  return { subject: SERVED, argv, type: OURS, folder: NO_FOLDER, isServed: false };
}

/**
 * The chain of a network as libcni would run it for pod number `index`: the same keys for all plugin sets, as
 * docs/configuration.md promises. The reference has a program for host ports and one for limits behind its bridge; ours
 * is one call that gets the same keys. `folders`: where addresses and, for ours, records are kept.
 */
export function describeChain(
  plugins: PluginSet,
  folders: { readonly dataDir: string; readonly stateDir: string },
  { family, ipMasq, hostPort, limits }: Extras,
  index: number,
): Link[] {
  const { dataDir, stateDir } = folders;
  const isOurs = plugins.type === OURS;
  const own = isOurs ? { stateDir } : {};
  const env = plugins.isServed ? { MINICNI_SOCKET: callSocket(stateDir) } : {};
  const shared = { cniVersion: CNI_VERSION, name: NETWORK };
  const { subnet, gateway, everywhere } = RANGES[family];
  const conf = {
    ...shared,
    ...own,
    type: plugins.type,
    bridge: BRIDGE,
    isGateway: true,
    hairpinMode: true,
    ipMasq,
    ipam: {
      type: "host-local",
      dataDir,
      ranges: [[{ subnet, gateway }]],
      routes: [{ dst: everywhere }],
    },
  };
  const ports = [{ hostPort: FIRST_PORT + index, containerPort: 80, protocol: "tcp" }];
  const wishes: readonly (readonly [type: string, runtimeConfig: Json])[] = [
    ...(hostPort ? [["portmap", { portMappings: ports }] as const] : []),
    ...(limits === null ? [] : [["bandwidth", { bandwidth: limits }] as const]),
  ];
  if (isOurs) {
    const runtimeConfig = Object.fromEntries(wishes.flatMap(([, keys]) => Object.entries(keys)));
    return [{ argv: plugins.argv, conf: wishes.length === 0 ? conf : { ...conf, runtimeConfig }, env }];
  }
  return [
    { argv: plugins.argv, conf, env },
    ...wishes.map(([type, runtimeConfig]) => ({
      argv: [`${plugins.folder}/${type}`],
      conf: { ...shared, type, runtimeConfig },
    })),
  ];
}
