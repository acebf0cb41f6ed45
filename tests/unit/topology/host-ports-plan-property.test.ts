import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { HostPortClaim, HostPortOptions } from "../../../src/net/host-port.ts";
import { settledAs } from "../../../src/topology/host-ports-plan.ts";
import { chainsFor, claim, Tables } from "./host-ports-words.ts";

const CONDITIONS = [
  { 4: [], 6: [] },
  { 4: ["-i", "up0"], 6: ["-i", "up0"] },
];
const plainOptions = {
  snat: fc.boolean(),
  masqAll: fc.boolean(),
  markBit: fc.constantFrom(0, 13, 31),
  localhost: fc.boolean(),
};
/** Claims that can be together: each pod has ports of its own. */
const claimsWith = (options: fc.Arbitrary<Partial<HostPortOptions>>): fc.Arbitrary<HostPortClaim[]> =>
  fc
    .uniqueArray(
      fc.record({
        number: fc.integer({ min: 2, max: 9 }),
        ports: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
        protocol: fc.constantFrom("tcp", "udp", "sctp"),
        ip: fc.constantFrom("", "0.0.0.0:", "192.0.2.1:", "[::]:", "[2001:db8::1]:"),
        options: fc.oneof(fc.constant({}), options),
        network: fc.constantFrom("net1", "net2"),
      }),
      { selector: ({ number }) => number, maxLength: 6 },
    )
    .map((list) =>
      list.map(({ number, ports, protocol, ip, options, network }) => {
        const words = ports.map((port) => `${protocol} ${ip}${number * 100 + port} 80`);
        return claim(number, words, options, { network, bridge: `br-${network}` });
      }),
    );

const claims = claimsWith(fc.record({ ...plainOptions, conditions: fc.constantFrom(...CONDITIONS) }));
/** Of rules in words that the kernel may change only their number is known. */
const plainClaims = claimsWith(fc.record(plainOptions));

/** What is ours; the order within a chain of ports apart. */
function state({ chains, bases }: ReturnType<Tables["observe"]>) {
  const rulesOf = (name: string, rules: readonly string[]) =>
    name.startsWith("MINICNI-DNAT-") ? rules.toSorted() : [...rules];
  return {
    chains: Object.fromEntries([...chains].map(([name, rules]) => [name, rulesOf(name, rules)])),
    bases: Object.fromEntries([...bases].map(([name, rules]) => [name, [...rules]])),
  };
}

describe("planHostPorts, for any claims", () => {
  test("from any claims to any others: as from nothing, and then nothing is to be done", () => {
    fc.assert(
      fc.property(claims, claims, fc.constantFrom(4 as const, 6 as const), (before, behind, family) => {
        const tables = new Tables();
        tables.settle(before, family);
        tables.settle(behind, family);
        expect(state(tables.observe())).toEqual(state(settledAs(chainsFor(behind, family))));
        expect(tables.settle(behind, family)).toEqual([]);
        const fresh = new Tables();
        fresh.settle(behind, family);
        expect(state(fresh.observe())).toEqual(state(tables.observe()));
      }),
      { numRuns: 300 },
    );
  });

  test("whatever somebody did to the chains meanwhile", () => {
    const damage = fc.record({ at: fc.nat(20), how: fc.constantFrom("flush", "double", "foreign") });
    fc.assert(
      fc.property(plainClaims, plainClaims, fc.array(damage, { maxLength: 4 }), (before, behind, damages) => {
        const tables = new Tables();
        tables.settle(before);
        for (const { at, how } of damages) {
          const { chains, bases } = tables.observe();
          const places = [
            ...[...chains.keys()].map((name) => [name === "MINICNI-LOCALNET" ? "raw" : "nat", name]),
            ...[...bases.keys()].map((key) => key.split(" ")),
          ];
          const [table = "", name = ""] = places[at % places.length] ?? [];
          const rules = tables.rules(table, name);
          if (how === "flush") rules.splice(0);
          else if (how === "double") rules.push(...rules.slice(0, 1));
          else rules.push(`-A ${name} -s 203.0.113.${at} -j RETURN`);
        }
        tables.settle(behind);
        const found = state(tables.observe());
        for (const [key, rules] of Object.entries(found.bases))
          found.bases[key] = rules.filter((rule) => !rule.includes("203.0.113."));
        expect(found).toEqual(state(settledAs(chainsFor(behind))));
        expect(tables.settle(behind)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
