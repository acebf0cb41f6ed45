import type { Release } from "./subject.ts";

/** Rule number to the difference in words. */
export type Differences = Readonly<Record<number, string>>;

const NO_GC = "GC does nothing";

/** What both releases do otherwise. */
const ALWAYS: Differences = {
  27: "errors carry no `cniVersion`: the Go library leaves it out",
  33: "`prevResult` is dropped, the result holds its own interfaces and addresses only",
  36: "no DEL for an IPAM plugin whose ADD failed; both ends of the veth pair are left",
  39: "DEL fails when CNI_NETNS is a plain file, as a reboot leaves it; the address stays reserved",
  62: "`cniVersion` is the plugin's newest, whatever the input says",
  69: "an IP that is both in `args` and CNI_ARGS is asked for twice, and ADD fails",
};

const OLD = "knows no 1.1.0";

/** Where the reference was seen to differ, per release: what it is known to do, not what it should. */
export const REFERENCE: Readonly<Record<Release, Differences>> = {
  "1.9.1": {
    ...ALWAYS,
    50: "STATUS succeeds with an exhausted range",
    53: `${NO_GC}: stale interface and address stay`,
    54: `${NO_GC}: links, reservations and rules stay`,
    55: `${NO_GC}: it is not forwarded`,
    56: `${NO_GC}: an empty list collects nothing`,
    60: "checked after acting: bridge and veth are made first, the code is 0 or 999",
    73: "GC is not forwarded",
  },
  "1.1.1": {
    ...ALWAYS,
    1: OLD,
    4: OLD,
    5: OLD,
    7: OLD,
    11: "stdin is read first",
    14: "there is no own-namespace check to switch off",
    16: OLD,
    26: OLD,
    35: `an empty \`dns\` is printed under 1.0.0; ${OLD}`,
    47: OLD,
    50: OLD,
    51: OLD,
    52: OLD,
    53: OLD,
    54: OLD,
    55: OLD,
    56: OLD,
    58: OLD,
    60: "not checked: ADD into the node's own namespace succeeds",
    63: OLD,
    73: OLD,
    74: OLD,
    76: "the IPAM plugin's `dns` is dropped",
  },
};

/**
 * Where minicni was seen to differ. Null: no run of minicni.test.ts is recorded; `{}` once all of it passes, which is
 * what that file holds minicni to.
 */
export const MINICNI: Differences | null = {};
