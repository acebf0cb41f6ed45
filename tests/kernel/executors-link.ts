import type { LinkSettings, NewLink } from "../../src/plan/step.ts";
import { address } from "../twin/words.ts";
import type { Act, Case, Place } from "./executors.ts";

const MAC = "0a:58:0a:00:00:21";
const OTHER = "0a:58:0a:00:00:22";
const BRIDGE = "link add br0 address 0a:58:0a:00:00:20 type bridge";
const IN_BRIDGE = [BRIDGE, "link set v0 master br0", "link set br0 addrgenmode none up"];

const add = (link: NewLink): Act => ({ op: "link.add", link });
const set = (name: string, settings: LinkSettings): Act => ({ op: "link.set", name, set: settings });
const vxlan = (local: string, more: Partial<Extract<NewLink, { kind: "vxlan" }>> = {}): Act =>
  add({
    kind: "vxlan",
    name: "vx0",
    mac: MAC,
    mtu: 1450,
    vni: 157,
    port: 8472,
    local: address(local),
    ...more,
  });
const del = (...names: string[]) => names.map((name): Act => ({ op: "link.del", name }));

type Ends = Pick<NewLink, "mac" | "mtu">;
const veth =
  (own: Ends, far: Ends, isElsewhere: boolean) =>
  ({ pod }: Place): Act[] => [
    add({
      kind: "veth",
      name: "w0",
      ...own,
      peer: { name: isElsewhere ? "eth0" : "w1", ...far, netns: isElsewhere ? pod : "" },
    }),
  ];

const ADDED: readonly Case[] = [
  { name: "a bridge", acts: () => [add({ kind: "bridge", name: "br0" })] },
  { name: "a bridge with MAC", acts: () => [add({ kind: "bridge", name: "br0", mac: MAC })] },
  { name: "a bridge with MTU", acts: () => [add({ kind: "bridge", name: "br0", mtu: 1449 })] },
  { name: "an ifb", acts: () => [add({ kind: "ifb", name: "mine0", mac: MAC })] },
  {
    name: "an ifb with MTU, up",
    acts: () => [add({ kind: "ifb", name: "mine0", mac: MAC, mtu: 1400 }), set("mine0", { up: true })],
  },
  {
    name: "a bridge with MAC and MTU, up",
    acts: () => [
      add({ kind: "bridge", name: "br0", mac: MAC, mtu: 9000 }),
      set("br0", { mtu: 8999 }),
      set("br0", { up: true }),
    ],
  },
  {
    name: "a bridge that filters VLANs",
    needs: "vlan filtering",
    acts: () => [add({ kind: "bridge", name: "br0", mac: MAC, vlanFiltering: true })],
  },
  ...[false, true].flatMap((isElsewhere): Case[] => {
    const where = isElsewhere ? "in a pod" : "in the same namespace";
    return [
      { name: `a veth with its peer ${where}`, acts: veth({}, {}, isElsewhere) },
      {
        name: `a veth with MACs, peer ${where}`,
        acts: veth({ mac: MAC }, { mac: OTHER }, isElsewhere),
      },
      { name: `a veth with MTUs, peer ${where}`, acts: veth({ mtu: 1400 }, { mtu: 1300 }, isElsewhere) },
      {
        name: `a veth with all, peer ${where}`,
        acts: veth({ mac: MAC, mtu: 1450 }, { mac: OTHER, mtu: 1450 }, isElsewhere),
      },
      { name: `a veth whose peer alone has a MAC, ${where}`, acts: veth({}, { mac: OTHER }, isElsewhere) },
    ];
  }),
  { name: "a tunnel over IPv4", acts: () => [vxlan("10.0.0.1")] },
  { name: "a tunnel over IPv6", acts: () => [vxlan("fd00::1")] },
  {
    name: "a tunnel with the greatest numbers",
    acts: () => [vxlan("10.0.0.1", { vni: 2 ** 24 - 1, port: 65535, mtu: 1280 })],
  },
  {
    name: "a tunnel, up, without link-local address",
    acts: () => [vxlan("10.0.0.1"), set("vx0", { addrgenmode: "none" }), set("vx0", { up: true })],
  },
  {
    name: "a link of the longest name",
    acts: () => [add({ kind: "bridge", name: "a23456789012345", mac: MAC })],
  },
];

const inBridge = (name: string, ...settings: LinkSettings[]): Case => ({
  name,
  before: IN_BRIDGE,
  acts: () => settings.map((it) => set("v0", it)),
});
const onV1 = (name: string, ...settings: LinkSettings[]): Case => ({
  name,
  before: [BRIDGE],
  acts: () => settings.map((it) => set("v1", it)),
});

const SET: readonly Case[] = [
  onV1("down", { up: false }),
  onV1("down and up again", { up: false }, { up: true }),
  onV1("an MTU", { mtu: 1400 }),
  onV1("a MAC", { mac: MAC }),
  onV1("a MAC and an MTU", { mac: MAC, mtu: 1450 }),
  onV1("promiscuous", { promisc: true }),
  onV1("promiscuous, and not any more", { promisc: true }, { promisc: false }),
  onV1("promiscuous and down", { promisc: true, up: false }),
  onV1("every multicast frame", { allmulti: true }),
  onV1("every multicast frame, and not any more", { allmulti: true }, { allmulti: false }),
  onV1(
    "every multicast frame and promiscuous, then only that",
    { allmulti: true, promisc: true },
    {
      promisc: false,
    },
  ),
  onV1("a longer queue", { txQueueLength: 5000 }),
  onV1("a queue of nothing, then of one", { txQueueLength: 0 }, { txQueueLength: 1 }),
  onV1("an alias", { alias: "minicni:pods:c1:eth0" }),
  onV1("the longest alias", { alias: `minicni:${"x".repeat(247)}` }),
  onV1("another alias", { alias: "a-first-one-that-is-longer" }, { alias: "second" }),
  onV1("no link-local address", { up: false }, { addrgenmode: "none" }, { up: true }),
  onV1("a master", { master: "br0" }),
  onV1("a master, no link-local address, an alias", {
    master: "br0",
    addrgenmode: "none",
    alias: "minicni:pods:c1:eth0",
  }),
  onV1(
    "a master, then up with flags",
    { up: false },
    { master: "br0" },
    { up: true, port: { hairpin: true } },
  ),
  onV1("all at once", {
    up: true,
    mtu: 1400,
    mac: MAC,
    master: "br0",
    addrgenmode: "none",
    promisc: true,
    allmulti: true,
    txQueueLength: 77,
    alias: "all",
  }),
  inBridge("hairpin", { port: { hairpin: true } }),
  inBridge("hairpin, and not any more", { port: { hairpin: true } }, { port: { hairpin: false } }),
  inBridge("isolated", { port: { isolated: true } }),
  inBridge("isolated, and not any more", { port: { isolated: true } }, { port: { isolated: false } }),
  inBridge("hairpin off, isolated on", { up: true, port: { hairpin: false, isolated: true } }),
  inBridge("hairpin and isolated, down", { up: false, port: { hairpin: true, isolated: true } }),
  inBridge("the MTU of a port", { mtu: 1280 }),
  {
    name: "the VLAN filter on",
    needs: "vlan filtering",
    before: IN_BRIDGE,
    acts: () => [set("br0", { vlanFiltering: true })],
  },
  {
    name: "the VLAN filter off again",
    needs: "vlan filtering",
    before: IN_BRIDGE,
    acts: () => [set("br0", { vlanFiltering: true }), set("br0", { vlanFiltering: false })],
  },
  {
    name: "settings of a link in a pod",
    acts: (place) => [
      ...veth({ mac: MAC }, { mac: OTHER }, true)(place),
      { ...set("eth0", { up: true, mtu: 1400 }), netns: place.pod },
    ],
  },
];

const PAIRS = ["a", "b", "c", "d"];
const pairs = PAIRS.map((name) => `link add ${name}0 type veth peer name ${name}1`);

const DELETED: readonly Case[] = [
  { name: "a veth takes its peer along", acts: () => del("v0") },
  { name: "a bridge with a port", before: IN_BRIDGE, acts: () => del("br0") },
  { name: "several links in a row", before: pairs, acts: () => del("a0", "b0", "c0", "d0") },
  {
    name: "several links of different kinds",
    before: [...pairs, ...IN_BRIDGE],
    acts: () => [vxlan("10.0.0.1"), ...del("a0", "br0", "vx0", "c1")],
  },
  { name: "two of several", before: pairs, acts: () => del("b0", "d1") },
  {
    name: "links in a row, then one of a pod, then others",
    before: pairs,
    acts: (place) => [
      ...veth({ mac: MAC }, { mac: OTHER }, true)(place),
      ...del("a0", "b0"),
      { op: "link.del", name: "eth0", netns: place.pod },
      ...del("c0", "d0"),
    ],
  },
  {
    name: "a link that is made again under its name",
    before: pairs,
    acts: () => [...del("a0", "b0"), add({ kind: "bridge", name: "a0", mac: MAC }), ...del("c0")],
  },
];

export const LINK_CASES: Readonly<Record<string, readonly Case[]>> = {
  "link.add": ADDED,
  "link.set": SET,
  "link.del": DELETED,
};
