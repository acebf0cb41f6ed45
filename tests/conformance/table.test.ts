import { describe, expect, test } from "bun:test";
import { CASES, NO_PLUGIN_RULES, RULES } from "./cases.ts";
import { MINICNI, REFERENCE } from "./outcomes.ts";
import { page, writtenPage } from "./table.ts";

describe("docs/conformance.md", () => {
  test("is what the recorded outcomes say", () => {
    expect(writtenPage()).toBe(page());
  });

  test("has each rule of the checklist exactly once", () => {
    const numbers = [...CASES, ...NO_PLUGIN_RULES].map(({ rule }) => rule).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: RULES }, (_, index) => index + 1));
  });

  test("records differences of rules that have a case only", () => {
    const rules = new Set(CASES.map(({ rule }) => rule));
    const recorded = [MINICNI ?? {}, ...Object.values(REFERENCE)].flatMap((each) => Object.keys(each));
    expect(recorded.filter((rule) => !rules.has(Number(rule)))).toEqual([]);
  });
});
