import { type CommandWords, flatten, type OptionWords } from "./words.ts";

/** What a manual says that no command line knows. */
export interface ManualWords {
  readonly version: string;
  /** One line behind the name. */
  readonly summary: string;
  readonly description: string;
  readonly exitCodes: readonly (readonly [code: string, meaning: string])[];
  readonly files: readonly (readonly [path: string, what: string])[];
  readonly seeAlso: string;
}

/** The manual page (man(7), section 8) of a program and all its commands. */
export function formatManual(root: CommandWords, words: ManualWords): string {
  const commands = flatten(root).slice(1);
  const lines = [
    `.TH ${root.name.toUpperCase()} 8 "" "${root.name} ${words.version}" "System Administration"`,
    ".SH NAME",
    `${root.name} \\- ${escapeText(words.summary)}`,
    ".SH SYNOPSIS",
    ...root.children.flatMap((command) => [".br", `.B ${synopsis(command)}`]).slice(1),
    ".SH DESCRIPTION",
    escapeText(words.description),
    ".SH COMMANDS",
    ...commands.flatMap(describeCommand),
    ".SH EXIT STATUS",
    ...words.exitCodes.flatMap(([code, meaning]) => item(code, meaning)),
    ".SH FILES",
    ...words.files.flatMap(([path, what]) => item(path, what)),
    ".SH ENVIRONMENT",
    ...variables(commands).flatMap(([name, option]) => item(name, `as ${option}`)),
    ...item("NO_COLOR", "set and not empty: no colours"),
    ...item("COLUMNS", "width of what is printed where standard output is no terminal"),
    ".SH SEE ALSO",
    escapeText(words.seeAlso),
  ];
  return `${lines.join("\n")}\n`;
}

function synopsis({ path, arguments: args, children, options }: CommandWords): string {
  const rest = [
    ...(children.length > 0 ? ["[command]"] : []),
    ...args.map(({ words }) => words),
    ...(options.length > 0 ? ["[options]"] : []),
  ];
  return escapeText([path, ...rest].join(" "));
}

function describeCommand(command: CommandWords): string[] {
  return [
    `.SS ${synopsis(command)}`,
    escapeText(command.description),
    ...command.options.flatMap((option) => item(option.flags, describe(option))),
    ...command.examples.flatMap(([line, what]) => item(line, what)),
  ];
}

function describe({ description, initial, variable, value }: OptionWords): string {
  const notes = [
    ...(value.kind === "choice" ? [`one of ${value.choices.join(", ")}`] : []),
    ...(initial === "" ? [] : [`default ${initial}`]),
    ...(variable === "" ? [] : [`or ${variable}`]),
  ];
  return notes.length === 0 ? description : `${description} (${notes.join("; ")})`;
}

/** Each variable once, with the options that it stands for. */
function variables(commands: readonly CommandWords[]): [name: string, options: string][] {
  const found = new Map<string, Set<string>>();
  for (const { options } of commands) {
    for (const { variable, names } of options) {
      if (variable === "") continue;
      const known = found.get(variable) ?? new Set();
      found.set(variable, known.add(names.at(-1) ?? ""));
    }
  }
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, options]) => [name, [...options].join(", ")]);
}

function item(term: string, text: string): string[] {
  return [".TP", `.B ${escapeText(term)}`, escapeText(text)];
}

/** A backslash, a hyphen that can be pasted, and a dot or quote at the start of a line mean something to roff. */
function escapeText(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}
