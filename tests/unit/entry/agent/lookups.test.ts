import { expect, test } from "bun:test";
import { createLookups } from "../../../../src/entry/agent/lookups.ts";
import { type Address, formatAddress } from "../../../../src/net/address.ts";
import type { ClusterNode } from "../../../../src/net/node.ts";
import { createFakeMachine, fakeLink } from "../../../twin/machine.ts";
import { route, tableOf } from "../../../twin/routes.ts";
import { address, prefix } from "../../../twin/words.ts";

const PEERS: readonly ClusterNode[] = [
  { name: "n2", podCidrs: [prefix("10.244.2.0/24")], addresses: [address("10.9.0.2"), address("fd09::2")] },
  { name: "n3", podCidrs: [prefix("10.244.3.0/24")], addresses: [address("10.8.0.3"), address("10.8.0.33")] },
];
const ETH0 = fakeLink({ index: 2, name: "eth0", up: true });
const FOREIGN = route("10.9.0.0/24", null, { protocol: 2 });

function stage() {
  const host = createFakeMachine("/nowhere");
  const asked: Address[][] = [];
  let nowMs = 0;
  let isLost = false;
  const direct = { gateway: null, ifindex: 2, isLocal: false };
  host.lookupRoutes = (towards) => {
    asked.push([...towards]);
    return towards.map(({ family }) => (family === 4 && !isLost ? direct : null));
  };
  const lookups = createLookups(host, () => nowMs);
  return {
    lookups,
    asked,
    direct,
    pass: (ms: number) => (nowMs += ms),
    lose: (is: boolean) => (isLost = is),
  };
}

test("asks for the first address of each family of every peer, once", () => {
  const { lookups, asked, direct } = stage();
  const reach = lookups.of(PEERS, tableOf(FOREIGN), [ETH0]);
  expect(asked).toEqual([[address("10.9.0.2"), address("fd09::2"), address("10.8.0.3")]]);
  const [v4 = address("::"), v6 = address("::")] = PEERS[0]?.addresses ?? [];
  expect(reach.lookup(v4)).toEqual(direct);
  expect(reach.lookup(v6)).toBeNull();
  expect(reach.lookup(address("10.7.7.7"))).toBeUndefined();
  expect(lookups.of(PEERS, tableOf(FOREIGN), [ETH0])).toBe(reach);
  expect(asked).toHaveLength(1);
});

test("is not asked again for our own routes, and for pods that come and go", () => {
  const { lookups, asked } = stage();
  lookups.of(PEERS, tableOf(FOREIGN), [ETH0]);
  const pod = fakeLink({ index: 9, name: "mcni0123456789a", up: true });
  lookups.of(PEERS, tableOf(FOREIGN, route("10.244.2.0/24", "10.9.0.2")), [ETH0, pod]);
  expect(asked).toHaveLength(1);
});

test("is asked again when what it depends on may have changed", () => {
  const { lookups, asked, pass } = stage();
  const look = (peers = PEERS, table = tableOf(FOREIGN), links = [ETH0]) => lookups.of(peers, table, links);
  const changes: readonly (() => unknown)[] = [
    () => look(),
    () => look(PEERS, tableOf(FOREIGN, route("10.8.0.0/24", "10.9.0.254", { protocol: 3 }))),
    () => look(PEERS, tableOf({ ...FOREIGN, metric: 5 })),
    () => look(PEERS, tableOf(FOREIGN), [{ ...ETH0, up: false }]),
    () => look(PEERS, tableOf(FOREIGN), [{ ...ETH0, index: 3 }]),
    () => {
      look();
      lookups.forget();
      return look();
    },
  ];
  const counts = changes.map((change) => {
    change();
    return asked.length;
  });
  expect(counts).toEqual([1, 2, 3, 4, 5, 7]);
  pass(60_000);
  look();
  expect(asked).toHaveLength(8);
});

test("asks for what is new alone when a peer comes", () => {
  const { lookups, asked } = stage();
  const reach = lookups.of(PEERS, tableOf(FOREIGN), [ETH0]);
  const fourth = { name: "n4", podCidrs: [], addresses: [address("10.9.0.4")] };
  expect(lookups.of([...PEERS, fourth], tableOf(FOREIGN), [ETH0])).toBe(reach);
  expect(asked.slice(1)).toEqual([[address("10.9.0.4")]]);
});

test("remembers how a peer was reached while it can't be, and says that it can't", () => {
  const { lookups, pass, lose } = stage();
  const [v4 = address("::")] = PEERS[0]?.addresses ?? [];
  const reach = lookups.of(PEERS, tableOf(FOREIGN), [ETH0]);
  expect(reach.isLost(v4)).toBe(false);
  lose(true);
  pass(60_000);
  const later = lookups.of(PEERS, tableOf(FOREIGN), [ETH0]);
  expect([later.lookup(v4)?.gateway, later.isLost(v4)]).toEqual([null, true]);
  expect(later).toBe(reach);
  lose(false);
  pass(60_000);
  expect(lookups.of(PEERS, tableOf(FOREIGN), [ETH0]).isLost(v4)).toBe(false);
});

test("knows the gateways of others' routes that a pod CIDR must not take; onlink ones can't be taken", () => {
  const { lookups } = stage();
  const table = tableOf(
    FOREIGN,
    route("0.0.0.0/0", "10.9.0.254", { protocol: 3 }),
    route("172.16.0.0/12", "10.9.0.253", { protocol: 4 }),
    route("10.244.3.0/24", "10.244.3.1", { protocol: 3 }),
    route("10.244.4.0/24", "10.244.4.0", { protocol: 3, isOnlink: true }),
    route("0.0.0.0/0", "192.0.2.1", { protocol: 4, isOnlink: true, metric: 9 }),
    route("10.244.2.0/24", "10.9.0.2"),
  );
  const { gateways } = lookups.of(PEERS, table, [ETH0]);
  expect(gateways.map(({ address: of, ownLength }) => `${formatAddress(of)} ${ownLength}`)).toEqual([
    "10.9.0.254 0",
    "10.9.0.253 -1",
    "10.244.3.1 24",
  ]);
});

test("is another one when a gateway is held by another route of its own", () => {
  const { lookups } = stage();
  const look = (dst: string) => lookups.of(PEERS, tableOf(route(dst, "10.9.0.254", { protocol: 3 })), [ETH0]);
  const reach = look("10.9.0.0/24");
  expect(look("10.9.0.0/24")).toBe(reach);
  expect(look("10.9.0.0/16")).not.toBe(reach);
});
