import { address, prefix } from "../twin/words.ts";
import type { Act, Case } from "./executors.ts";

const MAC = "0e:00:00:00:00:aa";
const OTHER = "0e:00:00:00:00:bb";

const give = (text: string, nodad = false, dev = "v0"): Act => ({
  op: "addr.replace",
  dev,
  prefix: prefix(text),
  nodad,
});
const take = (text: string, dev = "v0"): Act => ({ op: "addr.del", dev, prefix: prefix(text) });

const ADDRESSES = ["10.5.0.7/24", "10.5.0.7/32", "169.254.3.4/16", "fd05::7/64", "fd05::7/128", "fe80::7/64"];

const ADDRESS_CASES: readonly Case[] = [
  ...ADDRESSES.flatMap((text): Case[] => [
    { name: text, acts: () => [give(text)] },
    { name: `${text} without detection of duplicates`, acts: () => [give(text, true)] },
    { name: `${text}, twice`, acts: () => [give(text, true), give(text, true)] },
    { name: `${text}, with detection afterwards`, acts: () => [give(text, true), give(text)] },
    { name: `${text}, and away`, acts: () => [give(text, true), give("10.6.0.1/24"), take(text)] },
    { name: `${text} on lo`, acts: () => [give(text, true, "lo")] },
  ]),
  { name: "127.0.0.2/8 on lo", acts: () => [give("127.0.0.2/8", false, "lo")] },
  { name: "127.0.0.2/32 on v0, and away", acts: () => [give("127.0.0.2/32"), take("127.0.0.2/32")] },
  { name: "127.0.0.1/8 away from lo", acts: () => [take("127.0.0.1/8", "lo")] },
  { name: "a second one in the subnet", acts: () => [give("10.0.0.2/24"), give("fd00::2/64", true)] },
  {
    name: "the first one of the subnet away: its second goes too",
    acts: () => [give("10.0.0.2/24"), take("10.0.0.1/24")],
  },
  { name: "the same with another length", acts: () => [give("10.0.0.1/16"), give("fd00::1/48", true)] },
  {
    name: "on a link that is down",
    before: ["link add br0 address 0a:58:0a:00:00:20 type bridge"],
    acts: () => ADDRESSES.map((it) => give(it, false, "br0")),
  },
  {
    name: "in a pod",
    acts: ({ pod }) => [
      { ...give("10.7.0.1/24", false, "lo"), netns: pod },
      { ...give("fd07::1/64", true, "lo"), netns: pod },
    ],
  },
];

const NEIGHBOURS = ["10.0.0.9", "fd00::9", "fe80::9"];
const forget = (text: string): Act => ({ op: "neigh.forget", dev: "v0", address: address(text) });
const know = (text: string, mac = MAC): Act => ({
  op: "neigh.replace",
  dev: "v0",
  address: address(text),
  mac,
});
const lose = (text: string): Act => ({ op: "neigh.del", dev: "v0", address: address(text), mac: MAC });

const NEIGHBOUR_CASES: readonly Case[] = NEIGHBOURS.flatMap((text): Case[] => {
  const there = (state: string) => [`neigh add ${text} dev v0 lladdr ${OTHER} nud ${state}`];
  return [
    { name: `${text} forgotten, which is not there`, acts: () => [forget(text)] },
    { name: `${text} forgotten, which is stale`, before: there("stale"), acts: () => [forget(text)] },
    { name: `${text} forgotten, which never ages`, before: there("permanent"), acts: () => [forget(text)] },
    { name: `${text} known`, acts: () => [know(text)] },
    { name: `${text} known by another MAC`, acts: () => [know(text), know(text, OTHER)] },
    { name: `${text} known, over a stale one`, before: there("stale"), acts: () => [know(text)] },
    { name: `${text} lost`, acts: () => [know(text), lose(text)] },
    { name: `${text} lost, of another MAC`, before: there("permanent"), acts: () => [lose(text)] },
  ];
});

const TUNNELS = [
  "link add vx4 mtu 1450 address 0e:00:00:00:00:01 type vxlan id 157 dstport 8472 local 10.0.0.1 nolearning",
  "link add vx6 mtu 1430 address 0e:00:00:00:00:01 type vxlan id 158 dstport 8473 local fd00::1 nolearning",
];

const FDB_CASES: readonly Case[] = [
  ["vx4", "10.0.0.9", "10.0.0.10"],
  ["vx6", "fd00::9", "fd00::a"],
].flatMap(([dev = "", first = "", second = ""]): Case[] => {
  const act = (op: "fdb.replace" | "fdb.del", mac: string, dst: string): Act => ({
    op,
    dev,
    mac,
    dst: address(dst),
  });
  const make = (name: string, ...acts: readonly Act[]): Case => ({
    name: `${dev}: ${name}`,
    before: TUNNELS,
    acts: () => acts,
  });
  return [
    make("learned", act("fdb.replace", MAC, first)),
    make("learned twice", act("fdb.replace", MAC, first), act("fdb.replace", MAC, first)),
    make("moved", act("fdb.replace", MAC, first), act("fdb.replace", MAC, second)),
    make(
      "forgotten",
      act("fdb.replace", MAC, first),
      act("fdb.replace", OTHER, first),
      act("fdb.del", MAC, first),
    ),
  ];
});

const FILTERING = [
  "link add br0 address 0a:58:0a:00:00:20 type bridge vlan_filtering 1",
  "link set v0 master br0",
];

const VLAN_CASES: readonly Case[] = [
  [{ vid: 5 }],
  [{ vid: 5, pvid: true, untagged: true }],
  [{ vid: 5, untagged: true }],
  [{ vid: 4094 }, { vid: 6, pvid: true }],
].flatMap((vlans): Case[] => {
  const make = (name: string, acts: readonly Act[]): Case => ({
    name: `${name} ${JSON.stringify(vlans)}`,
    needs: "vlan filtering",
    before: FILTERING,
    acts: () => acts,
  });
  const added = vlans.map((it): Act => ({ op: "vlan.add", dev: "v0", ...it }));
  return [
    make("a port with", added),
    make(
      "a bridge itself with",
      vlans.map((it): Act => ({ op: "vlan.add", dev: "br0", self: true, ...it })),
    ),
    make("a port out of the default VLAN, with", [{ op: "vlan.del", dev: "v0", vid: 1 }, ...added]),
    make("a port no longer with", [
      ...added,
      ...vlans.map(({ vid }): Act => ({ op: "vlan.del", dev: "v0", vid })),
    ]),
  ];
});

export const ADDRESS_TABLE: Readonly<Record<string, readonly Case[]>> = {
  addr: ADDRESS_CASES,
  neigh: NEIGHBOUR_CASES,
  fdb: FDB_CASES,
  vlan: VLAN_CASES,
};
