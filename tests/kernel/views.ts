/** What a finished program left. */
export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AddressView {
  readonly family: string;
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly tentative?: boolean;
}

/** One link as `ip -j -d` tells it. */
export interface LinkView {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_slave_data?: { readonly hairpin?: boolean };
  };
  readonly addr_info: readonly AddressView[];
}

export interface RouteView {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}

export interface ResultView {
  readonly cniVersion: string;
  readonly interfaces: readonly {
    readonly name: string;
    readonly mac: string;
    readonly mtu?: number;
    readonly sandbox?: string;
  }[];
  readonly ips: readonly { readonly address: string; readonly gateway: string; readonly version?: string }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
}

export interface ErrorView {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export function resultOf(done: Finished): ResultView {
  if (done.exitCode !== 0) throw new Error(`exit ${done.exitCode}: ${done.stdout} ${done.stderr}`);
  const result: ResultView = JSON.parse(done.stdout);
  return result;
}

/** The error document; throws when stdout is anything but exactly one JSON document. */
export function errorOf(done: Finished): ErrorView {
  if (done.exitCode === 0) throw new Error(`succeeded, an error was wanted: ${done.stdout}`);
  const error: ErrorView = JSON.parse(done.stdout);
  return error;
}

export function addressesOf(result: ResultView): string[] {
  return result.ips.map(({ address }) => address.replace(/\/.*/, ""));
}

/** What a node of tests can do, as far as {@link connectOutside} needs it. */
interface NodeView {
  node(...argv: string[]): string;
}

/** The node's own addresses towards {@link connectOutside}'s namespace, and those of the other side. */
export const NODE_OUTSIDE = ["192.0.2.2", "2001:db8::2"] as const;
export const OUTSIDE = ["192.0.2.1", "2001:db8::1"] as const;

/** Joins a namespace to the node as its way to the world; the world has no route back unless `routes` says so. */
export function connectOutside(box: NodeView, netns: string, routes: readonly string[] = []): void {
  const inside = ["nsenter", `--net=${netns}`];
  box.node("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", netns);
  for (const [enter, dev, addresses] of [
    [[], "up0", NODE_OUTSIDE],
    [inside, "up1", OUTSIDE],
  ] as const) {
    for (const [family, address] of addresses.entries()) {
      const words = family === 0 ? [`${address}/24`] : [`${address}/64`, "nodad"];
      box.node(...enter, "ip", "addr", "add", ...words, "dev", dev);
    }
    // Duplicate address detection of the link-local address would hold up the first packets for a second.
    box.node(...enter, "sysctl", "-qw", `net.ipv6.conf.${dev}.accept_dad=0`);
    box.node(...enter, "ip", "link", "set", dev, "up");
  }
  for (const route of routes) {
    box.node(...inside, "ip", "route", "add", route, "via", NODE_OUTSIDE[route.includes(":") ? 1 : 0]);
  }
}
