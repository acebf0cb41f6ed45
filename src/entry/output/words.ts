import type { Argument, Command, Option } from "commander";
import { type Example, examplesOf } from "./command.ts";

/** What an option's value, or an argument, is. */
export type ValueKind =
  | { readonly kind: "none" }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  | { readonly kind: "file" | "folder" | "text" };

/** One option of a command. */
export interface OptionWords {
  /** `--json`, `-h`; as they are typed. */
  readonly names: readonly string[];
  /** `--backend <name>`. */
  readonly flags: string;
  readonly description: string;
  readonly value: ValueKind;
  /** Empty where there is none worth a word. */
  readonly initial: string;
  /** Environment variable; empty: none. */
  readonly variable: string;
}

/** One command as a reader and a shell see it. */
export interface CommandWords {
  /** `minicni lab up`. */
  readonly path: string;
  readonly name: string;
  readonly description: string;
  /** `<node>`, `[address...]`. */
  readonly arguments: readonly { readonly words: string; readonly value: ValueKind }[];
  readonly options: readonly OptionWords[];
  readonly examples: readonly Example[];
  readonly children: readonly CommandWords[];
}

/** A command and all below it, hidden ones left out. */
export function wordsOf(command: Command, above = ""): CommandWords {
  const path = above === "" ? command.name() : `${above} ${command.name()}`;
  const help = command.createHelp();
  return {
    path,
    name: command.name(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      words: wordsOfArgument(argument),
      value: kindOf(argument.argChoices, argument.name()),
    })),
    options: help.visibleOptions(command).map(describeOption),
    examples: examplesOf(command),
    children: help
      .visibleCommands(command)
      .flatMap((child) => (child.name() === "help" ? [] : [wordsOf(child, path)])),
  };
}

/** The command itself and all below it, each before what is below it. */
export function flatten(words: CommandWords): CommandWords[] {
  return [words, ...words.children.flatMap(flatten)];
}

function wordsOfArgument(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? `<${name}>` : `[${name}]`;
}

function describeOption(option: Option): OptionWords {
  const takesValue = option.required || option.optional;
  const initial: unknown = option.defaultValueDescription ?? option.defaultValue;
  const isWorthless =
    initial === undefined || initial === "" || typeof initial === "boolean" || Array.isArray(initial);
  return {
    names: [option.short, option.long].flatMap((name) => name ?? []),
    flags: option.flags,
    description: option.description,
    value: takesValue
      ? kindOf(option.argChoices, /<([^>]+)>/.exec(option.flags)?.[1] ?? "")
      : { kind: "none" },
    initial: isWorthless ? "" : String(initial),
    variable: option.envVar ?? "",
  };
}

function kindOf(choices: readonly string[] | undefined, name: string): ValueKind {
  if (choices !== undefined && choices.length > 0) return { kind: "choice", choices };
  if (/file|path/.test(name)) return { kind: "file" };
  return { kind: /folder/.test(name) ? "folder" : "text" };
}
