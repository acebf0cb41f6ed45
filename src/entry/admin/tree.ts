import { Command } from "commander";
import { type Call, COMMANDS } from "../commands.ts";
import { type CommandWords, wordsOf } from "../output/words.ts";

/** The words of all commands that people have; loads every one of them. */
export async function loadWords(call: Call): Promise<CommandWords> {
  const program = new Command("minicni").option("--version", "which version this is");
  for (const { words } of COMMANDS) if (words !== undefined) program.addCommand(await words(call));
  return wordsOf(program);
}
