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
  /** The command line of the program that makes the veth pair; the folder of those that may follow it. */
  readonly argv: readonly string[];
  readonly type: string;
  readonly folder: string;
  /** An agent runs on the node, and the program hands calls over to it. */
  readonly isServed: boolean;
}

/** What a network asks for beyond a bridge, an address and routes. */
export interface Extras {
  readonly ipMasq: boolean;
  /** A host port for each pod, by the plugin portmap. */
  readonly portmap: boolean;
  /** 100 Mbit/s in both directions, by the plugin bandwidth. */
  readonly bandwidth: boolean;
}

export const NO_EXTRAS: Extras = { ipMasq: false, portmap: false, bandwidth: false };

/** CNI versions before 1.1.0 are all that Debian's plugins of 2022 know. */
export const CNI_VERSION = "1.0.0";
export const NETWORK = "bench";
export const BRIDGE = "bench0";
export const POD_INTERFACE = "eth0";
/** A /16 from the block for benchmarks (RFC 2544); its first address is the gateway. */
const SUBNET = "198.18.0.0/16";
export const GATEWAY = "198.18.0.1";
export const PREFIX_LENGTH = 16;
/** 100 Mbit/s with a burst of 1 MB, in bits. */
const RATE = 100_000_000;
const BURST = 8_000_000;
const FIRST_PORT = 20_000;
/** CNI_PATH where there are no other plugins: never empty, which no runtime passes. */
const NO_FOLDER = "/opt/cni/bin";

/** The subject's name of reference plugins. */
export function peerSubject({ version }: Peers): string {
  return `bridge + host-local ${version}`;
}

/** The plugin sets: ours in both its ways, with the plugins that may follow it from a peer's folder, and the peers'. */
export function describePlugins({ launcher, standalone }: Programs, peers: readonly Peers[]): PluginSet[] {
  const others = peers.map((peer) => ({
    subject: peerSubject(peer),
    argv: [`${peer.folder}/bridge`],
    type: "bridge",
    folder: peer.folder,
    isServed: false,
  }));
  const ours = { type: "minicni", folder: peers[0]?.folder ?? NO_FOLDER };
  return [
    { subject: SERVED, argv: [launcher], isServed: true, ...ours },
    { subject: STANDALONE, argv: [standalone], isServed: false, ...ours },
    ...others,
  ];
}

/**
 * The chain of a network as libcni would run it for pod number `index`: the same keys for all plugin sets, as
 * docs/configuration.md promises. `folders`: where addresses and, for ours, records are kept.
 */
export function describeChain(
  plugins: PluginSet,
  folders: { readonly dataDir: string; readonly stateDir: string },
  extras: Extras,
  index: number,
): Link[] {
  const { dataDir, stateDir } = folders;
  const own = plugins.type === "minicni" ? { stateDir } : {};
  const env = plugins.isServed ? { MINICNI_SOCKET: callSocket(stateDir) } : {};
  const shared = { cniVersion: CNI_VERSION, name: NETWORK };
  const conf = {
    ...shared,
    ...own,
    type: plugins.type,
    bridge: BRIDGE,
    isGateway: true,
    hairpinMode: true,
    ipMasq: extras.ipMasq,
    ipam: {
      type: "host-local",
      dataDir,
      ranges: [[{ subnet: SUBNET, gateway: GATEWAY }]],
      routes: [{ dst: "0.0.0.0/0" }],
    },
  };
  const ports = [{ hostPort: FIRST_PORT + index, containerPort: 80, protocol: "tcp" }];
  const limits = { ingressRate: RATE, ingressBurst: BURST, egressRate: RATE, egressBurst: BURST };
  return [
    { argv: plugins.argv, conf, env },
    ...(extras.portmap
      ? [
          {
            argv: [`${plugins.folder}/portmap`],
            conf: { ...shared, type: "portmap", runtimeConfig: { portMappings: ports } },
          },
        ]
      : []),
    ...(extras.bandwidth
      ? [
          {
            argv: [`${plugins.folder}/bandwidth`],
            conf: { ...shared, type: "bandwidth", runtimeConfig: { bandwidth: limits } },
          },
        ]
      : []),
  ];
}
