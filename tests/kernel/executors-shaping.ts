import type { TokenBucket } from "../../src/plan/step.ts";
import type { Act, Case, Fault, Place } from "./executors.ts";

/** An ifb that is up; in one line, up would come first, and a link-local address with it. */
const IFB = ["link add i0 type ifb", "link set i0 addrgenmode none", "link set i0 up"];

const bucket = (dev: string, rate: number, burst: number, limit = 2 * burst): Act => ({
  op: "qdisc.tbf",
  dev,
  rate,
  burst,
  limit,
});
const ingress = (dev: string): Act => ({ op: "qdisc.ingress", dev });
const redirect = (dev: string, to: string): Act => ({ op: "filter.redirect", dev, to });
const received = (dev: string, to: string) => [ingress(dev), redirect(dev, to)];

/** Buckets from the slowest to the fastest, in bytes per second and bytes. */
export const BUCKETS: readonly Omit<TokenBucket, "dev">[] = [
  { rate: 1, burst: 1, limit: 1 },
  // 1 kbit/s, 1, 10 and 100 Mbit/s.
  { rate: 125, burst: 1600, limit: 3200 },
  { rate: 125_000, burst: 1500, limit: 1500 },
  { rate: 125_000, burst: 65_536, limit: 131_072 },
  { rate: 1_250_000, burst: 1_250_000, limit: 1_281_250 },
  { rate: 12_500_000, burst: 10_000_001, limit: 20_000_003 },
  // What kubelet and containerd give to a pod whose burst nobody limits; it lasts longer than 274.9 s.
  { rate: 125_000, burst: 268_435_455, limit: 268_438_580 },
  { rate: 1_250_000, burst: 536_870_911, limit: 536_902_161 },
  // 1 and 10 Gbit/s.
  { rate: 125_000_000, burst: 5000, limit: 30_000 },
  { rate: 1_250_000_000, burst: 125_000_000, limit: 2 ** 32 - 1 },
  { rate: 333_333_333, burst: 1_000_003, limit: 1_000_003 },
  // Around what fits into 32 bits.
  { rate: 2 ** 32 - 2, burst: 1_000_000, limit: 2_000_000 },
  { rate: 2 ** 32 - 1, burst: 1_000_000, limit: 2_000_000 },
  { rate: 2 ** 32, burst: 1_000_000, limit: 2_000_000 },
  { rate: 2 ** 32 + 1, burst: 1_000_000, limit: 2_000_000 },
  { rate: 50_000_000_000, burst: 2 ** 32 - 1, limit: 2 ** 32 - 1 },
];

const SENT: readonly Case[] = [
  ...BUCKETS.map(
    ({ rate, burst, limit }): Case => ({
      name: `${rate} bytes/s, a burst of ${burst}, ${limit} waiting`,
      acts: () => [bucket("v1", rate, burst, limit)],
    }),
  ),
  { name: "both ends of a pair", acts: () => [bucket("v0", 125_000, 5000), bucket("v1", 250_000, 6000)] },
  {
    name: "a link that is down, then up",
    before: ["link set v1 down"],
    acts: () => [bucket("v1", 125_000, 5000), { op: "link.set", name: "v1", set: { up: true } }],
  },
  {
    name: "a bridge, a port and an ifb",
    before: [...IFB, "link add br0 address 0a:58:0a:00:00:20 type bridge", "link set v1 master br0"],
    acts: () => ["br0", "v1", "i0"].map((dev) => bucket(dev, 1_250_000, 100_000)),
  },
  {
    name: "a link in a pod",
    acts: ({ pod }: Place) => [
      { op: "link.add", link: { kind: "ifb", name: "i0", mac: "0a:58:0a:00:00:21" }, netns: pod },
      { ...bucket("i0", 125_000, 5000), netns: pod },
    ],
  },
];

const RECEIVED: readonly Case[] = [
  { name: "a place for filters", acts: () => [ingress("v1")] },
  { name: "all to an ifb", before: IFB, acts: () => received("v1", "i0") },
  { name: "all to another end", acts: () => received("v0", "v1") },
  {
    name: "two links to one ifb",
    before: IFB,
    acts: () => [...received("v0", "i0"), ...received("v1", "i0")],
  },
  {
    name: "two targets",
    before: [...IFB, "link add i1 type ifb"],
    acts: () => [...received("v1", "i1"), redirect("v1", "i0")],
  },
  {
    name: "both directions, the ifb made on the way",
    acts: () => [
      bucket("v0", 1_250_000, 125_000),
      { op: "link.add", link: { kind: "ifb", name: "i0", mac: "0a:58:0a:00:00:21", mtu: 1400 } },
      { op: "link.set", name: "i0", set: { addrgenmode: "none" } },
      { op: "link.set", name: "i0", set: { up: true } },
      ingress("v0"),
      bucket("i0", 2_500_000, 250_000),
      redirect("v0", "i0"),
    ],
  },
  {
    name: "the target goes",
    before: IFB,
    acts: () => [...received("v1", "i0"), { op: "link.del", name: "i0" }],
  },
  {
    name: "all goes with the link, and comes with a new one of its name",
    before: [...IFB, "link add w0 type veth peer name w1"],
    acts: () => [
      bucket("w0", 125_000, 5000),
      ...received("w0", "i0"),
      { op: "link.del", name: "w0" },
      { op: "link.add", link: { kind: "bridge", name: "w0", mac: "0a:58:0a:00:00:22" } },
      bucket("w0", 250_000, 6000),
      ...received("w0", "i0"),
    ],
  },
];

/** The operations of traffic control, each with all that it can be told. */
export const TRAFFIC_CASES: Readonly<Record<string, readonly Case[]>> = {
  "qdisc.tbf": SENT,
  "qdisc.ingress and filter.redirect": RECEIVED,
};

/** A link `s0` with a bucket and a place for filters, and `s1`, which has nothing. */
export const SHAPED: readonly string[] = [
  "link add s0 type veth peer name s1",
  "link set s0 addrgenmode none",
  "qdisc add dev s0 root handle 1: tbf rate 8000bit burst 5000b limit 9000b",
  "qdisc add dev s0 handle ffff: ingress",
];

/** What is refused beside {@link SHAPED}. */
export const TRAFFIC_FAULTS: Readonly<Record<string, Fault>> = {
  "a second bucket": { act: bucket("s0", 125_000, 5000), says: "Exclusivity flag on, cannot modify" },
  "a second place for filters": { act: ingress("s0"), says: "Exclusivity flag on, cannot modify" },
  "a redirection without a place for filters": {
    act: redirect("s1", "s0"),
    says: "Parent Qdisc doesn't exist",
  },
  "a redirection to no link": { act: redirect("s0", "nosuch"), says: 'Cannot find device "nosuch"' },
  "a bucket of no link": { act: bucket("nosuch", 125_000, 5000), says: 'Cannot find device "nosuch"' },
  "a place for filters of no link": { act: ingress("nosuch"), says: 'Cannot find device "nosuch"' },
  "a redirection of no link": { act: redirect("nosuch", "s0"), says: 'Cannot find device "nosuch"' },
};
