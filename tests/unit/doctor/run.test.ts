import { describe, expect, test } from "bun:test";
import { type Check, check, judge } from "../../../src/doctor/check.ts";
import { CHECKS } from "../../../src/doctor/checks.ts";
import { parseFacts, SECTIONS } from "../../../src/doctor/facts.ts";
import { pass, warn } from "../../../src/doctor/finding.ts";
import { describeReport, exitCodeOf } from "../../../src/doctor/report.ts";
import { factsOf, linesOf } from "./facts.ts";

const TABLE = { max: 100, count: 1, drops: 0 };

describe("saved facts", () => {
  test("are the same when they are read again", () => {
    const facts = factsOf({ conntrack: TABLE });
    expect(parseFacts(JSON.stringify(facts))).toEqual(facts);
  });

  test("of an older version, without a section, leave that section unseen", () => {
    const { conntrack: _, ...sections } = factsOf({}).sections;
    const facts = parseFacts(JSON.stringify({ ...factsOf({}), sections }));
    expect(facts.sections.conntrack).toEqual({ unseen: "the saved facts have no section conntrack" });
  });

  test("that are damaged say where", () => {
    const sections = { conntrack: { seen: { ...TABLE, max: "many" } } };
    const facts = parseFacts(JSON.stringify({ ...factsOf({}), sections }));
    expect(facts.sections.conntrack).toEqual({
      unseen: expect.stringContaining("the saved facts are damaged at conntrack"),
    });
  });

  test.each(["", "{", "null", "[]", "{}", '{"version":2,"takenAt":"","minicni":"","sections":{}}'])(
    "%j are none",
    (text) => {
      expect(() => parseFacts(text)).toThrow("these are no facts");
    },
  );
});

describe("a check", () => {
  const of = (judging: Check["judge"]): Check => ({ id: "A1", title: "things", needs: [], judge: judging });

  test("whose section was not seen is skipped, with the reason", () => {
    const one = check("A10", "things", ["conntrack"], () => [pass("fine")]);
    expect(linesOf(judge([one], factsOf({})))).toEqual(["SKIP A10 things: not looked at: not in this test"]);
  });

  test("that throws keeps no other from being made", () => {
    const broken = of(() => {
      throw new Error("no such thing");
    });
    expect(linesOf(judge([broken, of(() => [pass("fine")])], factsOf({})))).toEqual([
      "SKIP A1 things: this check failed: no such thing",
      "PASS A1 fine",
    ]);
  });
});

describe("a report", () => {
  test("of warnings alone asks somebody to look; what was skipped does not", () => {
    const exitCode = (checks: readonly Check[]) => {
      const facts = factsOf({ conntrack: TABLE });
      return exitCodeOf(describeReport(facts, judge(checks, facts)));
    };
    const skipped = check("A2", "things", ["conntrack"], () => [{ ...pass("x"), level: "skip" }]);
    const warned = check("A3", "things", ["conntrack"], () => [pass("x"), warn({ message: "y" })]);
    expect([exitCode([skipped]), exitCode([skipped, warned])]).toEqual([0, 1]);
  });
});

describe("the checks of this program", () => {
  test("are A1 to A12 and B1 to B14, each once, in this order", () => {
    const ids = (letter: string, most: number) =>
      Array.from({ length: most }, (_, at) => `${letter}${at + 1}`);
    expect(CHECKS.map(({ id }) => id)).toEqual([...ids("A", 12), ...ids("B", 14)]);
  });

  test("say something of facts in which nothing was seen: that they are skipped, and nothing worse", () => {
    const findings = judge(CHECKS, factsOf({}));
    expect(new Set(findings.map(({ level }) => level))).toEqual(new Set(["skip"]));
    expect(findings.map(({ message }) => message).join("\n")).not.toContain("this check failed");
  });

  test("need no section that nobody collects", () => {
    expect(Object.keys(SECTIONS)).toEqual(Object.keys(SECTIONS).toSorted());
  });
});
