import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { BINARY, must, run } from "./sandbox.ts";

const DIR = mkdtempSync(`${tmpdir()}/mtest-completion-`);

/** Bold on a typewriter: a letter, back, the letter again. */
const OVERSTRIKE = new RegExp(`.${String.fromCharCode(8)}`, "g");

beforeAll(() => {
  for (const shell of ["bash", "zsh", "fish"]) {
    writeFileSync(`${DIR}/minicni.${shell}`, must(BINARY, "completion", shell));
  }
});
afterAll(() => rmSync(DIR, { recursive: true, force: true }));

/** What a shell offers for the last word. */
const OFFERS: Readonly<Record<string, (words: readonly string[]) => string[]>> = {
  bash: (words) => {
    const script = `source ${DIR}/minicni.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _minicni; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return must("bash", "-c", script, "bash", ...words).split("\n");
  },
  zsh: (words) => {
    // What zsh would be given, in place of a terminal that shows it.
    const script = [
      "autoload -Uz compinit; compinit -u -D",
      `source ${DIR}/minicni.zsh`,
      'compadd() { shift; print -rl -- "$@" }',
      `_describe() { local -a all; all=("\${(@P)2}"); print -rl -- "\${all[@]%%:*}" }`,
      "_files() { print -r -- files }",
      'words=("$@"); CURRENT=$#; _minicni',
    ].join("\n");
    return must("zsh", "-f", "-c", script, "zsh", ...words)
      .split("\n")
      .filter((word) => word.startsWith(words.at(-1) ?? ""));
  },
  fish: (words) => {
    const script = `source ${DIR}/minicni.fish; complete -C "${words.join(" ")}"`;
    return must("fish", "--no-config", "-c", script)
      .split("\n")
      .map((line) => line.split("\t")[0] ?? "");
  },
};

describe.each(Object.keys(OFFERS))("%s completes", (shell) => {
  const offers = (...words: string[]) => (OFFERS[shell]?.(words) ?? []).filter((word) => word !== "").sort();

  test("commands", () => {
    expect(offers("minicni", "doc")).toEqual(["doctor"]);
    expect(offers("minicni", "")).toContain("status");
  });

  test("commands below a command", () => {
    expect(offers("minicni", "ipam", "ver")).toEqual(["verify"]);
    expect(offers("minicni", "lab", "node", "")).toContain("rm");
  });

  test("options", () => {
    expect(offers("minicni", "doctor", "--js")).toEqual(["--json"]);
    expect(offers("minicni", "doctor", "--only", "A1", "--sa")).toEqual(["--save"]);
  });

  test("the values of an option that has a choice", () => {
    expect(offers("minicni", "lab", "up", "--backend", "")).toEqual(["auto", "host-gw", "vxlan"]);
  });

  test("the shells themselves", () => {
    expect(offers("minicni", "completion", "")).toEqual(expect.arrayContaining(["bash", "fish", "zsh"]));
  });

  test("nothing that is for ourselves alone", () => {
    expect(offers("minicni", "")).not.toContain("calls");
  });
});

test("the manual is without an error, and has every command", () => {
  writeFileSync(`${DIR}/minicni.8`, must(BINARY, "man"));
  const lint = run(["mandoc", "-T", "lint", "-W", "error", `${DIR}/minicni.8`]);
  expect({ code: lint.exitCode, said: lint.stdout }).toEqual({ code: 0, said: "" });
  const text = must("mandoc", "-T", "utf8", `${DIR}/minicni.8`).replaceAll(OVERSTRIKE, "");
  for (const command of ["doctor", "status", "ipam verify", "plan attach", "trace", "connectivity"]) {
    expect(text).toContain(`minicni ${command}`);
  }
});

describe("what is mistyped", () => {
  test.each([
    [["doctr"], "unknown command 'doctr'\n(Did you mean doctor?)"],
    [["ipam", "sho"], "(Did you mean show?)"],
    [["doctor", "--jsom"], "(Did you mean --json?)"],
    [["--versoin"], "(Did you mean --version?)"],
  ])("%p gets a suggestion and exit code 2", (words, said) => {
    const done = run([BINARY, ...words]);
    expect(done.stderr).toContain(said);
    expect([done.exitCode, done.stdout]).toEqual([2, ""]);
  });

  test("what is like nothing gets the way to the help", () => {
    const done = run([BINARY, "frobnicate"]);
    expect(done.stderr).toContain("minicni --help");
    expect(done.exitCode).toBe(2);
  });
});

describe("help", () => {
  test("of the program has a line for each command, on standard output", () => {
    const done = run([BINARY, "--help"]);
    expect([done.exitCode, done.stderr]).toEqual([0, ""]);
    for (const command of [
      "agent",
      "connectivity",
      "doctor",
      "install",
      "ipam",
      "lab",
      "plan",
      "status",
      "trace",
    ]) {
      expect(done.stdout).toMatch(new RegExp(`^  ${command} +[a-z]`, "m"));
    }
    expect(done.stdout).not.toMatch(/^ {2}calls/m);
  });

  test.each([
    "agent",
    "connectivity",
    "doctor",
    "install",
    "ipam show",
    "lab up",
    "plan",
    "status",
    "trace",
    "uninstall",
  ])("of %s begins with how it is typed", (command) => {
    const done = run([BINARY, ...command.split(" "), "--help"]);
    expect(done.stdout).toStartWith(`Usage: minicni ${command} `);
    if (!command.includes(" ")) expect(done.stdout).toContain(`\nExamples:\n  minicni ${command}`);
    expect(done.exitCode).toBe(0);
  });
});
