import { Option } from "commander";
import { createCommand } from "../../../../src/entry/output/command.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";
import type { Screen } from "../../../../src/entry/output/screen.ts";
import { type CommandWords, wordsOf } from "../../../../src/entry/output/words.ts";

/** A program with a command of each kind. */
export function sampleWords(): CommandWords {
  const program = createCommand("prog", "does things");
  program
    .addCommand(
      createCommand("look", "look at Bob's things: all of them", [["prog look --way fast", "quickly"]])
        .addOption(
          new Option("-w, --way <name>", "how").choices(["fast", "slow"]).default("slow").env("PROG_WAY"),
        )
        .option("--out <file>", "where to")
        .option("--json", "for machines"),
    )
    .addCommand(createCommand("shell", "a script").argument("[name...]", "which").configureHelp({}));
  program
    .command("box")
    .description("boxes")
    .command("open <folder>")
    .description("open one")
    .option("--in <folder>", "x");
  program.command("secret", { hidden: true });
  return wordsOf(program);
}

/** A screen that keeps what was printed. */
export function createScreen(
  width: number | null,
  isColoured = false,
): Screen & { readonly text: () => string } {
  let printed = "";
  return {
    print: (text) => {
      printed += text;
    },
    printError: () => undefined,
    width,
    paint: createPaint(isColoured),
    isWatched: false,
    text: () => printed,
  };
}
