import type { IpamNetwork } from "./sections/ipam.ts";

/** What can be wrong with an address. */
export type IpamFaultKind =
  | "full"
  | "double"
  | "mismatch"
  | "unreserved"
  | "cut off"
  | "leak"
  | "leftover"
  | "torn"
  | "outside"
  | "no record"
  | "bitmap"
  | "other boot";

/** One thing that does not fit, and what to do. */
export interface IpamFault {
  readonly kind: IpamFaultKind;
  /** `note`: it goes by itself, and disturbs nobody meanwhile. */
  readonly level: "fail" | "warn" | "note";
  readonly network: string;
  /** Null: it is about no single address. */
  readonly address: string | null;
  /** One line, without a full stop. */
  readonly message: string;
  /** As it was read from this node. */
  readonly evidence: readonly string[];
  /** A command, or a sentence that begins with "#". */
  readonly fix: string;
}

/** The command that frees an address of a network. */
export function releaseCommand(
  { network }: Pick<IpamNetwork, "network">,
  address: string,
  isForced = false,
): string {
  return `minicni ipam release${isForced ? " --force" : ""} --network ${network} ${address}`;
}

/** The runtime makes it anew then, with a network. */
export function deletePod(pod: { readonly namespace: string; readonly name: string } | null): string {
  return pod === null
    ? "# delete its pod: it comes back with a network"
    : `kubectl delete pod -n ${pod.namespace} ${pod.name}`;
}
