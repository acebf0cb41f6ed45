import { HOST, type Step } from "../plan/step.ts";

/** VLANs of a bridge port. */
export interface PortVlans {
  /** What the port carries untagged; null: none of its own. */
  readonly vlan: number | null;
  /** What it carries tagged, sorted and distinct. */
  readonly trunk: readonly number[];
  /** Keep the VLAN that the bridge gives to every new port. */
  readonly preserveDefaultVlan: boolean;
}

/** One item of the configuration's `vlanTrunk`: a range, an ID, or both. */
export interface TrunkItem {
  readonly minID?: number | null | undefined;
  readonly maxID?: number | null | undefined;
  readonly id?: number | null | undefined;
}

/** A `vlanTrunk` that can't be; text in the reference bridge plugin's words. */
export class VlanError extends Error {
  override readonly name = "VlanError";
}

/** Highest VLAN ID (IEEE 802.1Q keeps 4095 back; 0 means "no VLAN"). */
const MAX_VLAN = 4094;
/** What the kernel gives to each new port of a filtering bridge (`vlan_default_pvid`). */
const DEFAULT_VLAN = 1;

/** The VLANs of a trunk, sorted, each once. Throws {@link VlanError}. */
export function parseVlanTrunk(items: readonly TrunkItem[]): number[] {
  const found = new Set<number>();
  for (const item of items) {
    const { first, last } = rangeOf(item);
    for (let vid = first; vid <= last; vid++) found.add(vid);
    if (isGiven(item.id)) found.add(checked(item.id, "incorrect trunk id parameter"));
  }
  return [...found].sort((a, b) => a - b);
}

/** The item's range; an empty one when it has none. */
function rangeOf({ minID, maxID }: TrunkItem): { first: number; last: number } {
  if (!isGiven(minID) && !isGiven(maxID)) return { first: 1, last: 0 };
  if (!isGiven(minID) || !isGiven(maxID)) {
    const missing = isGiven(minID) ? "maxID" : "minID";
    throw new VlanError(`minID and maxID should be configured simultaneously, ${missing} is missing`);
  }
  const first = checked(minID, "incorrect trunk minID parameter");
  const last = checked(maxID, "incorrect trunk maxID parameter");
  if (last < first) throw new VlanError("minID is greater than maxID in trunk parameter");
  return { first, last };
}

function isGiven(value: number | null | undefined): value is number {
  return value !== undefined && value !== null;
}

function checked(vid: number, fault: string): number {
  if (!Number.isInteger(vid) || vid < 1 || vid > MAX_VLAN) throw new VlanError(fault);
  return vid;
}

/** Whether the port needs a bridge that filters by VLAN. */
export function usesVlans({ vlan, trunk }: Pick<PortVlans, "vlan" | "trunk">): boolean {
  return vlan !== null || trunk.length > 0;
}

/**
 * The VLANs of a port that has just joined the bridge; nothing when it has none of its own. The default goes first:
 * should it be among the wished ones, it is there again afterwards, with the right flags.
 */
export function portVlanSteps(dev: string, vlans: PortVlans): Step[] {
  if (!usesVlans(vlans)) return [];
  const { vlan, trunk, preserveDefaultVlan } = vlans;
  const steps: Step[] = [];
  if (!preserveDefaultVlan) {
    const why = "out of the VLAN of ports that have none of their own";
    steps.push({ op: "vlan.del", netns: HOST, dev, vid: DEFAULT_VLAN, why });
  }
  // A trunk without a VLAN of its own keeps the default as its native one, as the reference does since 1.8.
  const native = vlan ?? DEFAULT_VLAN;
  const why = "the VLAN of what comes and goes untagged";
  steps.push({ op: "vlan.add", netns: HOST, dev, vid: native, pvid: true, untagged: true, why });
  for (const vid of trunk) {
    if (vid !== native) steps.push({ op: "vlan.add", netns: HOST, dev, vid, why: "the VLANs of the trunk" });
  }
  return steps;
}
