import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FAMILIES } from "../../../src/net/address.ts";
import type { HostPortClaim } from "../../../src/net/host-port.ts";
import { describeHostPorts } from "../../../src/topology/host-ports.ts";
import {
  hostPortTable,
  type ObservedHostPortTable,
  planHostPortTable,
  settledTable,
} from "../../../src/topology/host-ports-nft.ts";
import { claim } from "./host-ports-words.ts";

const tableFor = (claims: readonly HostPortClaim[]) =>
  hostPortTable(FAMILIES.map((family) => describeHostPorts(claims, family)));

function linesFor(claims: readonly HostPortClaim[], observed: ObservedHostPortTable | null): string[] {
  return planHostPortTable(tableFor(claims), observed).flatMap((step) =>
    step.op === "rules.nft" ? [...step.lines] : [step.op],
  );
}

/** The table as far as transactions of ours go; as strict as the kernel. */
class Table {
  #digest: string | null = null;
  #rules = 0;
  #isThere = false;
  readonly #maps = new Map<string, Map<string, string>>();

  load(lines: readonly string[]): void {
    for (const line of lines) {
      const [, verb = "", what = "", rest = ""] =
        /^(add|delete) (\w+) inet minicni_hostports ?(.*)$/.exec(line) ?? [];
      const [name = ""] = rest.split(" ");
      if (what === "table") this.#start(verb === "add");
      else if (!this.#isThere) throw new Error(`no table: ${line}`);
      else if (what === "chain" && name.startsWith("digest_")) this.#digest = name;
      else if (what === "map") this.#maps.set(name, this.#maps.get(name) ?? new Map());
      else if (what === "rule") this.#rules++;
      else if (what === "element") this.#element(verb, name, / \{ (.*) \}$/.exec(rest)?.[1] ?? "");
      else if (what !== "chain") throw new Error(`not known: ${line}`);
    }
  }

  #start(isAdded: boolean): void {
    if (!isAdded) {
      this.#maps.clear();
      this.#digest = null;
      this.#rules = 0;
    }
    this.#isThere = isAdded;
  }

  #element(verb: string, name: string, text: string): void {
    const map = this.#maps.get(name);
    const [key = "", value = ""] = text.split(" : ");
    const known = map?.get(key);
    if (map === undefined) throw new Error(`no map ${name}`);
    if (verb === "delete" && known === undefined) throw new Error(`no element ${key}`);
    if (verb === "add" && known !== undefined && known !== value) throw new Error(`element ${key} is there`);
    if (verb === "add") map.set(key, value);
    else map.delete(key);
  }

  observe(): ObservedHostPortTable | null {
    if (!this.#isThere) return null;
    const elements = [...this.#maps].map(
      ([name, map]) => [name, [...map].map(([key, value]) => `${key} : ${value}`)] as const,
    );
    return { digest: this.#digest, rules: this.#rules, elements: new Map(elements) };
  }

  settle(claims: readonly HostPortClaim[]): string[] {
    const lines = linesFor(claims, this.observe());
    this.load(lines);
    return lines;
  }
}

function settled(claims: readonly HostPortClaim[]): Table {
  const table = new Table();
  table.settle(claims);
  return table;
}

const ONE = [claim(5, ["tcp 8080 80"])];
const TWO = [...ONE, claim(6, ["udp 192.0.2.1:53 53"])];

describe("planHostPortTable", () => {
  test("from nothing, one transaction that nobody sees half of", () => {
    const lines = linesFor(ONE, null);
    expect(lines.slice(0, 3)).toEqual([
      "add table inet minicni_hostports",
      "delete table inet minicni_hostports",
      "add table inet minicni_hostports",
    ]);
    expect(planHostPortTable(tableFor(ONE), null)).toHaveLength(1);
  });

  test("a settled table is left alone", () => {
    expect(linesFor(TWO, settledTable(tableFor(TWO)))).toEqual([]);
    expect(settled(TWO).settle(TWO.toReversed())).toEqual([]);
  });

  test("a port more is an element, a port less the deletion of one", () => {
    const table = settled(ONE);
    expect(table.settle(TWO)).toEqual([
      "add element inet minicni_hostports own4_4fe38490 { 192.0.2.1 . 17 . 53 : 10.7.0.6 . 53 }",
    ]);
    expect(table.settle(ONE)).toEqual([
      "delete element inet minicni_hostports own4_4fe38490 { 192.0.2.1 . 17 . 53 }",
    ]);
  });

  test("a port that leads elsewhere is deleted before it is added", () => {
    expect(settled(ONE).settle([claim(9, ["tcp 8080 80"])])).toEqual([
      "delete element inet minicni_hostports any4_4fe38490 { 6 . 8080 }",
      "delete element inet minicni_hostports any6_4fe38490 { 6 . 8080 }",
      "add element inet minicni_hostports any4_4fe38490 { 6 . 8080 : 10.7.0.9 . 80 }",
      "add element inet minicni_hostports any6_4fe38490 { 6 . 8080 : fd00:7::9 . 80 }",
    ]);
  });

  test("the last claim takes the table", () => {
    const table = settled(TWO);
    table.settle([]);
    expect(table.observe()).toBeNull();
  });

  test.each([
    ["another digest", { digest: "digest_00000000" }],
    ["no digest", { digest: null }],
    ["a rule more", { rules: 99 }],
    ["no rule", { rules: 0 }],
  ])("%s: the table is made anew", (_, difference) => {
    const observed = settledTable(tableFor(TWO));
    const lines = linesFor(TWO, observed && { ...observed, ...difference });
    expect(lines).toEqual(linesFor(TWO, null));
  });

  test("elements that somebody took or put there", () => {
    const observed = settledTable(tableFor(ONE));
    if (observed === null) throw new Error("no table");
    const elements = new Map(observed.elements);
    elements.set("any4_4fe38490", ["17 . 9 : 10.7.0.5 . 9"]);
    expect(linesFor(ONE, { ...observed, elements })).toEqual([
      "delete element inet minicni_hostports any4_4fe38490 { 17 . 9 }",
      "add element inet minicni_hostports any4_4fe38490 { 6 . 8080 : 10.7.0.5 . 80 }",
    ]);
  });

  test("from any claims to any others: as from nothing, and then nothing is to be done", () => {
    const options = fc.record({
      snat: fc.boolean(),
      masqAll: fc.boolean(),
      localhost: fc.boolean(),
      conditions: fc.constantFrom({ 4: [], 6: [] }, { 4: ["iifname", "up0"], 6: [] }),
    });
    const pod = fc.record({
      number: fc.integer({ min: 2, max: 9 }),
      words: fc.uniqueArray(
        fc.constantFrom("tcp 1 2", "udp 1 2", "sctp 192.0.2.1:7 3", "tcp [::]:4 4", "tcp 0.0.0.0:4 5"),
        { maxLength: 4 },
      ),
      options: fc.oneof(fc.constant({}), options),
    });
    // Ports of a pod are its own: by number, 10 apart.
    const claims = fc.uniqueArray(pod, { selector: ({ number }) => number, maxLength: 5 }).map((list) =>
      list.map(({ number, words, options }) =>
        claim(
          number,
          words.map((text) => text.replace(/(\d) (\d)$/, `${number}$1 $2`)),
          options,
        ),
      ),
    );
    const sorted = (table: ObservedHostPortTable | null) =>
      table && {
        ...table,
        elements: Object.fromEntries(
          [...table.elements].flatMap(([name, list]) => (list.length === 0 ? [] : [[name, list.toSorted()]])),
        ),
      };
    fc.assert(
      fc.property(claims, claims, (before, behind) => {
        const table = settled(before);
        table.settle(behind);
        expect(sorted(table.observe())).toEqual(sorted(settledTable(tableFor(behind))));
        expect(sorted(table.observe())).toEqual(sorted(settled(behind).observe()));
        expect(table.settle(behind)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
