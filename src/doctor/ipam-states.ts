import type { Ipam, IpamAttachment, IpamNetwork, IpamReservation } from "./sections/ipam.ts";

/**
 * How it is with who holds an address. `live`; `busy`: a call of it is under way; `cut off`: its namespace is there and its
 * host-side veth is not; `no record`: nothing but a veth of ours or the reservation tells of it, so that it may live;
 * `netns gone`; `forgotten`: the runtime does not know it either; `unfinished`: an ADD that was killed; `other boot`;
 * `torn`: names nobody; `surplus`: of a pod that lives with another address; `not ours`: another plugin's, of which nothing is known.
 */
export type HolderState =
  | "live"
  | "busy"
  | "cut off"
  | "no record"
  | "netns gone"
  | "forgotten"
  | "unfinished"
  | "other boot"
  | "torn"
  | "surplus"
  | "not ours";

const DEAD: readonly HolderState[] = [
  "netns gone",
  "forgotten",
  "unfinished",
  "other boot",
  "torn",
  "surplus",
];

/** Whether nobody can be using the address. */
export function isDead(state: HolderState): boolean {
  return DEAD.includes(state);
}

/** How it is with an attachment. */
export function stateOfAttachment(attachment: IpamAttachment, isOurs: boolean): HolderState {
  const { record, hostVeth, netnsState, isBusy } = attachment;
  if (isBusy) return "busy";
  if (record !== null && record !== "torn") {
    if (record.isOtherBoot) return "other boot";
    if (record.phase !== "complete") return "unfinished";
    if (record.kind === "ipam") return netnsState === "gone" ? "netns gone" : "live";
    if (hostVeth !== null) return "live";
    return netnsState === "there" ? "cut off" : "netns gone";
  }
  if (hostVeth !== null || record === "torn") return "no record";
  if (netnsState === "there") return "live";
  if (netnsState === "gone") return "netns gone";
  // The runtime keeps the result of each ADD until its DEL.
  if (attachment.isCached === false) return "forgotten";
  return isOurs ? "no record" : "not ours";
}

/** A store that leaked for months has tens of thousands of files: each is looked up, none searched for. */
const indexes = new WeakMap<readonly IpamAttachment[], ReadonlyMap<string, readonly IpamAttachment[]>>();

function byContainer(attachments: readonly IpamAttachment[]): ReadonlyMap<string, readonly IpamAttachment[]> {
  const known = indexes.get(attachments);
  if (known !== undefined) return known;
  const made = Map.groupBy(attachments, ({ containerId }) => containerId);
  indexes.set(attachments, made);
  return made;
}

/** Who a reservation says that it is of; null: nobody, or an attachment that is not in the list. */
export function holderOf(
  { containerId, ifname }: Pick<IpamReservation, "containerId" | "ifname">,
  { attachments }: Pick<IpamNetwork, "attachments">,
): IpamAttachment | null {
  const own = byContainer(attachments).get(containerId ?? "") ?? [];
  return own.find((it) => it.ifname === ifname || ifname === "") ?? null;
}

/** How it is with who holds a reservation. */
export function stateOfReservation(reservation: IpamReservation, network: IpamNetwork): HolderState {
  if (reservation.containerId === null) return "torn";
  if (reservation.isOtherBoot) return "other boot";
  const holder = holderOf(reservation, network);
  if (holder === null) return "no record";
  const state = stateOfAttachment(holder, network.kind === "ours");
  return state === "live" && isSurplus(reservation, holder) ? "surplus" : state;
}

/** What an earlier ADD of the same attachment left, when its record was lost (gc.ts has the same rule). */
function isSurplus({ address, dataDir }: IpamReservation, { record }: IpamAttachment): boolean {
  if (record === null || record === "torn" || record.ipam !== null || record.phase !== "complete")
    return false;
  return record.dataDir !== dataDir || !record.addresses.includes(address);
}

/** An ID of a runtime is 64 hexadecimal digits; `crictl` shows, and takes, the first 13. */
const SHOWN = 13;

/** The beginning of a container ID, as `crictl` shows it; a short one whole. */
export function shortId(containerId: string): string {
  return /^[0-9a-f]{32,}$/.test(containerId) ? containerId.slice(0, SHOWN) : containerId;
}

/** `pod default/web (container 3f2a…, eth0)`, or without the pod where it is not known. */
export function describeHolder({
  containerId,
  ifname,
  pod,
}: Pick<IpamAttachment, "containerId" | "ifname" | "pod">): string {
  const container = `${shortId(containerId)}${ifname === "" ? "" : ` ${ifname}`}`;
  return pod === null
    ? `container ${container}`
    : `pod ${pod.namespace}/${pod.name} (container ${container})`;
}

/** Whether the agent takes away by itself what is dead, in its own time. */
export function hasLeakCheck({ leakGraceMs }: Pick<Ipam, "leakGraceMs">): boolean {
  return leakGraceMs !== null && leakGraceMs > 0;
}
