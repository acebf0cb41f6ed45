/** What one attachment is called. */
export interface Key {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** A network as the model knows it: the addresses that may be given, one of each set to each attachment. */
export interface Shape {
  readonly name: string;
  readonly sets: readonly (readonly string[])[];
  /** Its pods' sending is limited; absent: it is not. */
  readonly isLimited?: true;
}

/** What a call answered. */
export type Outcome =
  | { readonly ok: true; readonly addresses: readonly string[] }
  | { readonly ok: false; readonly code: number };

/** What is there, as somebody sees it who is not the plugin. */
export interface Observed {
  readonly reservations: readonly { readonly address: string; readonly owner: Key }[];
  readonly links: readonly Key[];
  /** What limits their sending; absent: nobody looked. */
  readonly ifbs?: readonly Key[];
  readonly records: readonly { readonly key: Key; readonly isComplete: boolean }[];
  /** Files beside the records, left by a writer that was killed. */
  readonly halfRecords: readonly Key[];
  /** Names of the networks that have any rule. */
  readonly rules: readonly string[];
}

/** A key in one line. */
export function formatKey({ network, containerId, ifname }: Key): string {
  return `${network} ${containerId} ${ifname}`;
}
