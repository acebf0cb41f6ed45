import { expect, test } from "bun:test";
import { formatManual } from "../../../../src/entry/output/man.ts";
import { flatten } from "../../../../src/entry/output/words.ts";
import { sampleWords } from "./sample.ts";

test("hidden commands and help are no words, and each command has its path", () => {
  expect(flatten(sampleWords()).map(({ path }) => path)).toEqual([
    "prog",
    "prog look",
    "prog shell",
    "prog box",
    "prog box open",
  ]);
});

test("an option's words tell its names, values, default and variable", () => {
  expect(sampleWords().children[0]?.options[0]).toEqual({
    names: ["-w", "--way"],
    flags: "-w, --way <name>",
    description: "how",
    value: { kind: "choice", choices: ["fast", "slow"] },
    initial: "slow",
    variable: "PROG_WAY",
  });
});

test("the manual has every command with options and examples, and hyphens that can be pasted", () => {
  const text = formatManual(sampleWords(), {
    version: "1.2",
    summary: "a sample",
    description: "Does things.\n.not a macro",
    exitCodes: [["0", "fine"]],
    files: [["/etc/prog", "settings"]],
    seeAlso: "ip(8)",
  });
  expect(text).toContain(
    [
      ".SS prog look [options]",
      "look at Bob's things: all of them",
      ".TP",
      ".B \\-w, \\-\\-way <name>",
      "how (one of fast, slow; default slow; or PROG_WAY)",
    ].join("\n"),
  );
  expect(text).toContain(".B prog look \\-\\-way fast\nquickly");
  expect(text).toContain("\n\\&.not a macro");
  expect(text).toContain(".B PROG_WAY\nas \\-\\-way");
});
