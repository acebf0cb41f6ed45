import { afterAll, describe, setDefaultTimeout, test } from "bun:test";
import type { Allocation } from "../../src/ipam/allocate.ts";
import { HOST, type Operation, type Plan, type Step } from "../../src/plan/step.ts";
import {
  type AttachmentOptions,
  describeAttachment,
  planAttach,
  planDetach,
} from "../../src/topology/attachment.ts";
import { type Bridge, planBridge } from "../../src/topology/bridge.ts";
import { planReattach } from "../../src/topology/port.ts";
import { planTunnel, planTunnelRemoval } from "../../src/topology/tunnel.ts";
import { planTunnelPeers } from "../../src/topology/tunnel-peers.ts";
import { planVlanGateway } from "../../src/topology/vlan-gateway.ts";
import { OPTIONS } from "../twin/options.ts";
import { address, prefix } from "../twin/words.ts";
import { describeAll } from "../unit/topology/tunnel-words.ts";
import { type Act, type Case, expectAlike, FILTERS_VLANS, type Place } from "./executors.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const KEY = { network: "pods", containerId: "c1", ifname: "eth0" };
const V4: Allocation = { prefix: prefix("10.1.0.2/24"), gateway: address("10.1.0.1") };
const V6: Allocation = { prefix: prefix("fd01::2/64"), gateway: address("fd01::1") };
const BRIDGE: Bridge = {
  name: "minicni0",
  mtu: 1450,
  promisc: false,
  addresses: [prefix("10.1.0.1/24"), prefix("fd01::1/64")],
  forceAddress: false,
};
const WITH_GATEWAY: AttachmentOptions = { ...OPTIONS, gatewayDevice: BRIDGE.name };

/** A plan of the node we are in, in the node of a case. */
function inside({ node }: Place, plan: Plan): Act[] {
  return plan.map((step) => ({ ...step, netns: step.netns === HOST ? node : step.netns }));
}

interface Wish {
  readonly addresses?: readonly Allocation[];
  readonly options?: Partial<AttachmentOptions>;
  readonly bridge?: Partial<Bridge>;
}

function describeIn({ pod }: Place, { addresses = [V4, V6], options }: Wish) {
  return describeAttachment(KEY, pod, addresses, { ...WITH_GATEWAY, ...options });
}

function attach(name: string, wish: Wish = {}, then: (place: Place) => Plan = () => []): Case {
  return {
    name,
    acts: (place) =>
      inside(place, [
        ...planBridge({ ...BRIDGE, ...wish.bridge }, null, []),
        // A port that stays, so that the bridge has a carrier all the time: what hangs on it is no matter of chance.
        { op: "link.set", name: "v0", set: { master: BRIDGE.name }, netns: HOST, why: "a test" },
        ...planAttach(describeIn(place, wish)),
        ...then(place),
      ]),
  };
}

const routes = [
  { dst: prefix("0.0.0.0/0"), gw: address("10.1.0.9"), priority: 7, mtu: 1400, advmss: 1360 },
  { dst: prefix("10.9.0.0/16"), gw: null, table: 1000 },
  { dst: prefix("169.254.1.1/32"), gw: null, scope: 253 },
  { dst: prefix("fd09::/64"), gw: address("fd01::9"), table: 100 },
  { dst: prefix("fd08::/64"), gw: null, scope: 0 },
] as const;

const ATTACHMENTS: readonly Case[] = [
  attach("both families"),
  attach("IPv4 alone", { addresses: [V4] }),
  attach("IPv6 alone", { addresses: [V6] }),
  attach("no address", { addresses: [] }),
  attach("a gateway that nobody named", {
    addresses: [
      { ...V4, gateway: null },
      { ...V6, gateway: null },
    ],
  }),
  attach("isolated, without hairpin", { options: { hairpin: false, isolated: true } }),
  attach("detection of duplicates", { options: { enableDad: true } }),
  attach("a pod that stays down", { options: { podDown: true } }),
  attach("a MAC of its own", { options: { mac: "0a:58:0a:01:00:77" } }),
  attach("an MTU too small for IPv6", { addresses: [V4], options: { mtu: 1000 } }),
  attach("a node without IPv6", { addresses: [V4], options: { withoutIpv6: true } }),
  attach("no default route", { options: { defaultRoute: false } }),
  attach("routes with all that they may have", { options: { routes } }),
  attach("a promiscuous bridge of jumbo frames", {
    bridge: { promisc: true, mtu: 9000 },
    options: { mtu: 9000 },
  }),
  attach("a bridge of the least MTU, no gateway", {
    addresses: [V4],
    bridge: { mtu: 68, addresses: [] },
    options: { mtu: 68, gatewayDevice: null },
  }),
  attach("attached and detached", {}, (place) => planDetach(describeIn(place, {}).hostVeth)),
  attach("a port that lost its bridge", { options: { isolated: true } }, (place) => [
    { op: "link.del", name: BRIDGE.name, netns: HOST, why: "a test" },
    ...planBridge(BRIDGE, null, []),
    ...planReattach(describeIn(place, { options: { isolated: true } })),
  ]),
];

const VLANS: readonly Case[] = [
  attach("a VLAN and a trunk", {
    bridge: { vlanFiltering: true },
    options: { vlan: 5, trunk: [5, 7, 4094] },
  }),
  attach("a trunk that keeps the default VLAN", {
    bridge: { vlanFiltering: true },
    options: { trunk: [7], preserveDefaultVlan: true },
  }),
  attach("the gateway of a VLAN", { bridge: { vlanFiltering: true, addresses: [] } }, () =>
    planVlanGateway(
      {
        bridge: BRIDGE.name,
        vlan: 5,
        mtu: 1450,
        addresses: BRIDGE.addresses,
        forceAddress: false,
        preserveDefaultVlan: false,
      },
      { bridge: null, link: null, port: null, addresses: [] },
    ),
  ),
];

const FORCED: Case = {
  name: "another gateway address, by force",
  before: ["link add minicni0 address 0a:58:0a:01:00:09 type bridge", "addr add 10.1.0.9/24 dev minicni0"],
  acts: (place) =>
    inside(
      place,
      planBridge({ ...BRIDGE, forceAddress: true }, null, [
        { prefix: prefix("10.1.0.9/24"), linkLocal: false },
      ]).filter(({ op }) => op !== "link.add"),
    ),
};

const NOTHING = { forwarding: [], neighbours: [] };

function routesTo(dev: string, peers: readonly (readonly [string, string])[]): Step[] {
  return peers.map(([dst, via]) => ({
    op: "route.replace",
    netns: HOST,
    why: "a test",
    route: { dst: prefix(dst), via: address(via), dev, onlink: true, protocol: 157 },
  }));
}

function tunnels(then: (name: string) => Plan): Plan {
  return describeAll().flatMap((device) => {
    const { additions } = planTunnelPeers(device, NOTHING);
    return [
      ...planTunnel(device, null),
      ...additions.forwarding,
      ...additions.neighbours,
      ...then(device.link.name),
    ];
  });
}

const TUNNELS: readonly Case[] = [
  {
    name: "devices with their peers",
    acts: (place) =>
      inside(
        place,
        tunnels(() => []),
      ),
  },
  {
    name: "routes through a device",
    acts: (place) =>
      inside(
        place,
        tunnels((name) =>
          name.endsWith("6")
            ? routesTo(name, [["fd00:10:244:2::/64", "fe80::2"]])
            : routesTo(name, [["10.244.2.0/24", "10.244.2.0"]]),
        ),
      ),
  },
  {
    name: "peers that are gone",
    acts: (place) =>
      inside(place, [
        ...tunnels(() => []),
        ...describeAll().flatMap((device) => {
          const { deletions } = planTunnelPeers(
            { ...device, forwarding: [], neighbours: [] },
            {
              forwarding: device.forwarding,
              neighbours: device.neighbours.map((it) => ({ ...it, isPermanent: true })),
            },
          );
          return [...deletions.forwarding, ...deletions.neighbours];
        }),
      ]),
  },
  {
    name: "devices of another backend, removed",
    acts: (place) => {
      const removals = describeAll().map(({ link }): Operation => ({ op: "link.del", name: link.name }));
      const plan = planTunnelRemoval([]);
      return [...inside(place, [...tunnels(() => []), ...plan]), ...removals];
    },
  },
];

describe("both engines carry out the plans alike", () => {
  for (const it of [...ATTACHMENTS, FORCED]) test(`a bridge and its pod: ${it.name}`, () => expectAlike(it));
  for (const it of VLANS) test.skipIf(!FILTERS_VLANS)(`VLANs: ${it.name}`, () => expectAlike(it));
  for (const it of TUNNELS) test(`a tunnel: ${it.name}`, () => expectAlike(it));
});
