import { Command, CommanderError } from "commander";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import type { Screen } from "./screen.ts";

/** A command line as it is described. */
export type CommandLine = Command;

/** A line of help: what to type, and what it is for. */
export type Example = readonly [line: string, what: string];

/** Our own program has failed, or was misused: nothing of what it printed counts. */
export const FAILED = 2;

/**
 * A command for people, in the form that all of ours have: help with examples behind it, suggestions for what is
 * mistyped, and no end of the process of its own. Give it options, arguments, commands and an action.
 */
export function createCommand(name: string, description: string, examples: readonly Example[] = []): Command {
  const command = new Command(name).description(description).showSuggestionAfterError(true);
  return addExamples(command, examples);
}

/** What commander does not give back of a help text; the manual has the examples as well. */
const EXAMPLES = new WeakMap<Command, readonly Example[]>();

/** The examples of a command. */
export function examplesOf(command: Command): readonly Example[] {
  return EXAMPLES.get(command) ?? [];
}

/** Examples below the help of a command. */
export function addExamples(command: Command, examples: readonly Example[]): Command {
  if (examples.length === 0) return command;
  EXAMPLES.set(command, examples);
  const column = Math.max(...examples.map(([line]) => line.length)) + 2;
  const lines = examples.map(([line, what]) => `  ${line.padEnd(column)}${what}`);
  return command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/**
 * Parses the arguments and runs the action, which may be asynchronous and keep its exit code itself. Returns null when it
 * ran to its end, else the exit code: 0 for help, 2 for misuse, `failure` where the machine refused something; told.
 */
export async function runCommand(
  command: Command,
  args: readonly string[],
  host: Pick<Host, "log">,
  { print, width }: Pick<Screen, "print" | "width">,
  failure = FAILED,
): Promise<number | null> {
  // Below the program, so that its help reads as it is typed: minicni doctor …
  const program = new Command("minicni").helpCommand(false).addCommand(command);
  prepare(program, host, print, width);
  try {
    await program.parseAsync([command.name(), ...args], { from: "user" });
    return null;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : FAILED;
    if (!(error instanceof HostError)) throw error;
    host.log(`${error.message}\nwhat to do: ${error.hint}`);
    return failure;
  }
}

/** As {@link runCommand}, of a command whose action says how it ended: returns that exit code where there is no other. */
export async function runAction<O extends object>(
  command: Command,
  args: readonly string[],
  host: Pick<Host, "log">,
  screen: Pick<Screen, "print" | "width">,
  act: (options: O) => number | Promise<number>,
): Promise<number> {
  let exitCode: number = FAILED;
  command.action(async () => {
    exitCode = await act(command.opts<O>());
  });
  return (await runCommand(command, args, host, screen)) ?? exitCode;
}

/**
 * A command with commands below it, whose actions say how they ended where it is not 0: returns that exit code, else 1 for
 * any failure, which is told, 2 for misuse.
 */
export async function runGroup(
  create: (end: (exitCode: number) => void) => Command,
  args: readonly string[],
  host: Pick<Host, "log">,
  print: (text: string) => void,
): Promise<number> {
  let exitCode = 0;
  const command = create((code) => {
    exitCode = code;
  });
  try {
    return (await runCommand(command, args, host, { print, width: null }, 1)) ?? exitCode;
  } catch (error) {
    host.log(String(error));
    return 1;
  }
}

/** Settings that commands below do not inherit once they are there. */
function prepare(
  command: Command,
  host: Pick<Host, "log">,
  print: (text: string) => void,
  width: number | null,
) {
  command.exitOverride().configureOutput({
    writeOut: print,
    writeErr: (text) => host.log(text.trim()),
    getOutHelpWidth: () => width ?? 100,
    getErrHelpWidth: () => width ?? 100,
  });
  for (const child of command.commands) prepare(child, host, print, width);
}
