import { describe, expect, test } from "bun:test";
import { openScreen } from "../../../../src/entry/output/screen.ts";

const TERMINAL = { isTerminal: true, columns: 80 };
const PIPE = { isTerminal: false, columns: null };
const nothing = () => undefined;

function screen(
  stdout = TERMINAL as typeof TERMINAL | typeof PIPE,
  env: Readonly<Record<string, string>> = {},
) {
  return openScreen({ print: nothing, printError: nothing, stdout, stderr: stdout }, env);
}

describe("colours", () => {
  test.each([
    ["a terminal", TERMINAL, {}, true],
    ["a pipe", PIPE, {}, false],
    ["a terminal with NO_COLOR", TERMINAL, { NO_COLOR: "1" }, false],
    ["a terminal with an empty NO_COLOR", TERMINAL, { NO_COLOR: "" }, true],
    ["a terminal that has none", TERMINAL, { TERM: "dumb" }, false],
  ])("on %s", (_what, stdout, env, isColoured) => {
    expect(screen(stdout, env).paint.bad("x") !== "x").toBe(isColoured);
  });
});

describe("the width", () => {
  test.each([
    ["of a terminal is its own", TERMINAL, { COLUMNS: "40" }, 80],
    ["of a pipe is not limited", PIPE, {}, null],
    ["of a pipe is what COLUMNS says", PIPE, { COLUMNS: "40" }, 40],
    ["is not what nonsense in COLUMNS says", PIPE, { COLUMNS: "wide" }, null],
    ["is not less than a line can be", PIPE, { COLUMNS: "3" }, null],
  ])("%s", (_what, stdout, env, width) => {
    expect(screen(stdout, env).width).toBe(width);
  });
});
