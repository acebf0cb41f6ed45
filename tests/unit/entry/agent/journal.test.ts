import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createJournal } from "../../../../src/entry/agent/journal.ts";

function open(format: "text" | "json" = "text") {
  const lines: string[] = [];
  let ms = 0;
  const journal = createJournal({
    format,
    sink: (line) => lines.push(line),
    now: () => new Date(Date.UTC(2026, 10, 24, 15, 0, 0, 123)),
    elapsed: () => ms,
  });
  /** What was told since, without the time. */
  const told = () => lines.splice(0).map((line) => line.trimEnd().replace("2026-11-24T15:00:00.123Z ", ""));
  return { journal, lines, told, pass: (by: number) => (ms += by) };
}

describe("a line of text", () => {
  test("has time, level, event and fields, quoted where they need it", () => {
    const { journal, lines } = open();
    journal.info("resync", { changed: 3, cause: "link up", dst: "10.0.0.0/8", none: undefined, empty: "" });
    expect(lines).toEqual([
      '2026-11-24T15:00:00.123Z info resync changed=3 cause="link up" dst=10.0.0.0/8 empty=""\n',
    ]);
  });

  test("stays one line that no terminal obeys, whatever a Node's name holds", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.constantFrom("text" as const, "json" as const),
        (value, format) => {
          const { journal, lines } = open(format);
          journal.warn("node", { value });
          // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
          expect(lines.join("")).toMatch(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]*\n$/);
        },
      ),
      {
        examples: [
          ["\u001b[2J\r\nfake", "text"],
          ["a\u202eb\u009b", "text"],
          ["\u2028", "json"],
        ],
      },
    );
  });

  test("is cut when a value is endless", () => {
    const { journal, lines } = open();
    journal.warn("node", { message: "x".repeat(100_000) });
    expect(lines[0]?.length).toBeLessThan(2_100);
  });
});

test("JSON is one object a line: time, level, event, fields", () => {
  const { journal, lines } = open("json");
  journal.warn("step", { command: 'ip route "x"', count: 2, level: "mine", none: null });
  expect(lines[0]).toBe(
    '{"time":"2026-11-24T15:00:00.123Z","level":"warn","event":"step","command":"ip route \\"x\\"","count":2,"none":null}\n',
  );
});

test("a sink that fails loses the line and nothing else", () => {
  const journal = createJournal({
    format: "text",
    sink: () => {
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    },
    now: () => new Date(Number.NaN),
    elapsed: () => 0,
  });
  expect(() => {
    journal.info("a");
    journal.warn("b", { c: 1 });
    journal.state("d", "e");
    journal.state("d", null);
  }).not.toThrow();
});

describe("a state", () => {
  test("is told once when it comes, when its words change, and when it clears", () => {
    const { journal, told } = open();
    for (let pass = 0; pass < 5; pass++) journal.state("peer node2", "no route", { cause: "down" });
    expect(told()).toEqual(['warn "peer node2" fault="no route" cause=down']);
    journal.state("peer node2", "odd address");
    for (let pass = 0; pass < 5; pass++) journal.state("peer node2", null);
    expect(told()).toEqual([
      'warn "peer node2" fault="odd address"',
      'info "peer node2" cleared=true was="odd address"',
    ]);
  });

  test("that was never bad is not told to be well", () => {
    const { journal, told } = open();
    journal.state("rules", null);
    expect(told()).toEqual([]);
  });

  test("that flaps is told a few times, then how often it was not, and where it comes to rest", () => {
    const { journal, told, pass } = open();
    for (let flap = 0; flap < 50; flap++) {
      journal.state("uplink", "down");
      journal.state("uplink", null);
    }
    journal.state("uplink", "down for good");
    expect(told()).toHaveLength(5);
    pass(59_999);
    journal.state("uplink", "down for good");
    expect(told()).toEqual([]);
    pass(1);
    journal.state("uplink", "down for good");
    journal.state("uplink", "down for good");
    // 101 changes: 5 told, this one, and 95 that nobody read of.
    expect(told()).toEqual(['warn uplink fault="down for good" untold=95']);
  });

  test("of another key has its own say", () => {
    const { journal, told } = open();
    for (let flap = 0; flap < 50; flap++) journal.state("a", flap % 2 === 0 ? "bad" : null);
    told();
    journal.state("b", "bad");
    expect(told()).toEqual(["warn b fault=bad"]);
  });
});

test("an event that floods is told a hundred times a minute, then how often it was not", () => {
  const { journal, told, pass } = open();
  for (let count = 0; count < 1_000; count++) journal.info("kernel", { dev: `mcni${count}` });
  journal.warn("other");
  expect(told()).toHaveLength(101);
  pass(60_000);
  journal.info("kernel", { dev: "last" });
  expect(told()).toEqual(["info kernel dev=last untold=900"]);
});
