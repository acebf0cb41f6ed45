import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Address, formatAddress, parseAddress } from "../../../src/net/address.ts";
import { formatStep } from "../../../src/plan/format.ts";
import {
  choosePeers,
  describeOffloadOff,
  judgeAnswers,
  type OffloadState,
  roundWaitMs,
  UNTESTED,
} from "../../../src/topology/offload.ts";

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

const A = address("10.244.1.0");
const B = address("10.244.2.0");
const C = address("10.244.3.0");
const good = (peer: Address) => ({ peer, offloaded: true, software: true });
const lossy = (peer: Address) => ({ peer, offloaded: false, software: true });
const silent = (peer: Address) => ({ peer, offloaded: false, software: false });
const play = (...rounds: Parameters<typeof judgeAnswers>[1][]) => rounds.reduce(judgeAnswers, UNTESTED);

describe("checksum offload", () => {
  test("works when a peer refused the offloaded datagram", () => {
    expect(play([good(A), silent(B)])).toEqual({ verdict: "works" });
  });

  test("is broken when a peer refused the kernel's own checksum only, twice", () => {
    expect(play([lossy(A)])).toEqual({ verdict: "unknown", rounds: 0, suspects: [A] });
    expect(play([lossy(A)], [lossy(A)])).toEqual({ verdict: "broken", witnesses: [A] });
  });

  test("is broken although a peer on the same hypervisor gets everything", () => {
    expect(play([good(A), lossy(B)], [lossy(B)])).toEqual({ verdict: "broken", witnesses: [B] });
  });

  test("works when a suspect gets it the second time: a single loss", () => {
    expect(play([lossy(A)], [good(A)])).toEqual({ verdict: "works" });
  });

  test("stays unknown while nobody answers at all, and waits longer each time", () => {
    const waits: (number | null)[] = [];
    let state: OffloadState = UNTESTED;
    for (let round = 0; round < 8; round++) {
      waits.push(roundWaitMs(state));
      state = judgeAnswers(state, [silent(A), silent(B)]);
    }
    expect(waits).toEqual([0, 30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
    expect(roundWaitMs({ verdict: "works" })).toBeNull();
    expect(roundWaitMs({ verdict: "unknown", rounds: 9, suspects: [A] })).toBe(2_000);
  });

  test("is not asked about again once it is known", () => {
    const broken = play([lossy(A)], [lossy(A)]);
    expect(choosePeers(broken, C, [A, B])).toEqual([]);
    expect(judgeAnswers(broken, [good(A)])).toBe(broken);
    expect(choosePeers({ verdict: "works" }, C, [A, B])).toEqual([]);
  });

  test("is switched off by one command", () => {
    expect(formatStep(describeOffloadOff("minicni.vxlan"))).toBe(
      "ethtool -K minicni.vxlan tx-checksum-ip-generic off",
    );
  });
});

describe("who is asked", () => {
  const many = Array.from({ length: 100 }, (_, index) => address(`10.0.${index}.0`));

  test("nobody in a cluster of one", () => {
    expect(choosePeers(UNTESTED, A, [])).toEqual([]);
  });

  test("each peer once where there are few", () => {
    const asked = choosePeers(UNTESTED, C, [A, B]).map(formatAddress).sort();
    expect(asked).toEqual(["10.244.1.0", "10.244.2.0"]);
  });

  test("the suspect again, unless it has left", () => {
    const state: OffloadState = { verdict: "unknown", rounds: 1, suspects: [B] };
    expect(choosePeers(state, C, [A, B])).toEqual([B]);
    expect(choosePeers(state, C, [A])).toEqual([A]);
  });

  test("others in the next round", () => {
    const first = choosePeers(UNTESTED, A, many).map(formatAddress);
    const second = choosePeers({ verdict: "unknown", rounds: 1, suspects: [] }, A, many).map(formatAddress);
    expect(new Set([...first, ...second]).size).toBe(6);
  });

  test("not the same three by every node", () => {
    const first = many.map((self) => formatAddress(choosePeers(UNTESTED, self, many)[0] ?? A));
    expect(new Set(first).size).toBeGreaterThan(40);
  });
});

/** One node of the model: does its NIC finish inner checksums, is it up, does it drop what comes to closed ports. */
interface ModelNode {
  readonly isBroken: boolean;
  readonly isUp: boolean;
  readonly isMute: boolean;
}

/** Rounds until every node that is up is at rest, or twenty; nodes take turns in the given order. */
function converge(nodes: readonly ModelNode[]): OffloadState[] {
  const addresses = nodes.map((_, index) => address(`10.244.${index}.0`));
  const states = nodes.map((): OffloadState => UNTESTED);
  for (let round = 0; round < 20; round++) {
    for (const [index, node] of nodes.entries()) {
      const self = addresses[index];
      const state = states[index];
      if (!node.isUp || self === undefined || state === undefined) continue;
      const peers = addresses.filter((peer) => peer !== self);
      const answers = choosePeers(state, self, peers).map((peer) => {
        const there = nodes[addresses.indexOf(peer)];
        // The peer's own NIC plays no part: a refusal is finished in software.
        const answersAtAll = there?.isUp === true && !there.isMute;
        const isOn = state.verdict !== "broken";
        return { peer, software: answersAtAll, offloaded: answersAtAll && !(node.isBroken && isOn) };
      });
      if (answers.length > 0) states[index] = judgeAnswers(state, answers);
    }
  }
  return states;
}

test("whichever NICs are broken, each node finds out about its own as soon as one peer answers", () => {
  const node = fc.record({ isBroken: fc.boolean(), isUp: fc.boolean(), isMute: fc.boolean() });
  fc.assert(
    fc.property(fc.array(node, { minLength: 1, maxLength: 6 }), (nodes) => {
      const states = converge(nodes);
      for (const [index, { isBroken, isUp }] of nodes.entries()) {
        const canAnswer = nodes.some((peer, other) => other !== index && peer.isUp && !peer.isMute);
        const known = isBroken ? "broken" : "works";
        expect(states[index]?.verdict).toBe(isUp && canAnswer ? known : "unknown");
      }
    }),
    { numRuns: 500 },
  );
});

test("two nodes that are both broken both switch off", () => {
  const broken = { isBroken: true, isUp: true, isMute: false };
  expect(converge([broken, broken]).map(({ verdict }) => verdict)).toEqual(["broken", "broken"]);
});
