import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AllocationError, allocate } from "../../../src/ipam/allocate.ts";
import type { PoolFactory } from "../../../src/ipam/pool.ts";
import { parseRangeSets } from "../../../src/ipam/range.ts";
import { formatAddress } from "../../../src/net/address.ts";
import { createWasmPool } from "../../../src/wasm/pool.ts";
import { createMemoryLedger } from "../../twin/ledger.ts";
import { createTwinPool } from "../../twin/pool.ts";
import { address } from "../../twin/words.ts";

const SETS = parseRangeSets([
  [{ subnet: "10.0.0.0/28" }, { subnet: "10.0.1.0/29", gateway: "10.0.1.6" }],
  [{ subnet: "fd00::/124" }],
]);
const GATEWAYS = ["10.0.0.1", "10.0.1.6", "fd00::1"];
/** 13 + 5 IPv4 addresses and 14 IPv6 ones can be given. */
const CAPACITY = 14;

const actions = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("take" as const), at: fc.nat(99) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), at: fc.nat(99) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("request" as const), at: fc.nat(15) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget" as const), at: fc.nat(1) }) },
  ),
  { maxLength: 80 },
);

/** Plays the actions; returns what was given, in order, so that two pools can be compared. */
function play(script: readonly { kind: string; at: number }[], createPool: PoolFactory): string[] {
  const ledger = createMemoryLedger();
  const pods: string[][] = [];
  const history: string[] = [];
  for (const { kind, at } of script) {
    if (kind === "release") {
      const [pod = []] = pods.splice(at % Math.max(1, pods.length), 1);
      for (const text of pod) ledger.release(address(text));
    } else if (kind === "forget") {
      ledger.bitmaps.delete(at);
    } else {
      const held = new Set(ledger.held);
      try {
        const wish =
          kind === "request" ? [address(`10.0.0.${at}`)].filter(({ value }) => value % 16n < 15n) : [];
        const given = allocate(SETS, wish, ledger, createPool).map(({ prefix }) =>
          formatAddress(prefix.address),
        );
        for (const text of given) {
          expect(held.has(text)).toBe(false);
          expect(GATEWAYS).not.toContain(text);
        }
        pods.push(given);
        history.push(...given);
      } catch (error) {
        if (!(error instanceof AllocationError)) throw error;
        expect(ledger.held).toEqual(held);
        if (error.isExhausted) expect(pods.length).toBeGreaterThanOrEqual(CAPACITY);
        history.push(error.message);
      }
    }
    expect(ledger.held).toEqual(new Set(pods.flat()));
  }
  return history;
}

describe("any sequence of ADD, DEL, requests and lost bitmaps", () => {
  test("never gives one address twice, nor a gateway, and both pools agree", () => {
    fc.assert(
      fc.property(actions, (script) => {
        expect(play(script, createWasmPool)).toEqual(play(script, createTwinPool));
      }),
      { numRuns: 60 },
    );
  });
});
