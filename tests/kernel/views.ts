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
