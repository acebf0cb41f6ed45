import { type CommandWords, flatten, type OptionWords, type ValueKind } from "./words.ts";

/** Shells that a completion can be printed for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * A completion script: commands, options, and the values of those that have a choice or take a file. It holds all words
 * itself, so that no key press starts a program.
 */
export function formatCompletion(shell: Shell, root: CommandWords): string {
  switch (shell) {
    case "bash":
      return bash(root);
    case "zsh":
      return zsh(root);
    case "fish":
      return fish(root);
  }
}

/** How each shell walks the words typed so far: along commands as long as they are known, past everything else. */
const wordsBelow = (root: CommandWords) =>
  flatten(root)
    .slice(1)
    .map(({ path }) => `"${path}"`)
    .join("|");

function bash(root: CommandWords): string {
  const commands = flatten(root);
  return `# bash completion for ${root.name}; \`source <(${root.name} completion bash)\`, or keep it as
# /usr/share/bash-completion/completions/${root.name}
_${root.name}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="" at="${root.name}" i
  COMPREPLY=()
  ((COMP_CWORD > 0)) && prev="\${COMP_WORDS[COMP_CWORD - 1]}"
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${wordsBelow(root)}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at:$prev" in
${commands.flatMap(({ path, options }) => options.flatMap((option) => bashValue(path, option))).join("\n")}
  esac
  case "$at" in
${commands.map((command) => bashWords(command)).join("\n")}
  esac
}
complete -o bashdefault -o default -F _${root.name} ${root.name}
`;
}

function bashValue(path: string, { names, value }: OptionWords): string[] {
  if (value.kind === "none") return [];
  const pattern = names.map((name) => `"${path}:${name}"`).join("|");
  return [`    ${pattern}) ${bashReply(value)}; return ;;`];
}

function bashReply(value: ValueKind): string {
  if (value.kind === "choice") return `COMPREPLY=($(compgen -W "${value.choices.join(" ")}" -- "$cur"))`;
  if (value.kind === "folder") return `COMPREPLY=($(compgen -d -- "$cur"))`;
  return value.kind === "file" ? `COMPREPLY=($(compgen -f -- "$cur"))` : "COMPREPLY=()";
}

function bashWords({ path, options, children, arguments: args }: CommandWords): string {
  const choices = args.flatMap(({ value }) => (value.kind === "choice" ? value.choices : []));
  const words = [...children.map(({ name }) => name), ...choices, ...options.flatMap(({ names }) => names)];
  return `    "${path}") COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$cur")) ;;`;
}

function zsh(root: CommandWords): string {
  const commands = flatten(root);
  return `#compdef ${root.name}
# zsh completion for ${root.name}; keep it as _${root.name} in a folder of $fpath
_${root.name}() {
  local at="${root.name}" i
  local -a items
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
      (${wordsBelow(root)}) at="$at \${words[i]}" ;;
    esac
  done
  case "$at:\${words[CURRENT-1]}" in
${commands.flatMap(({ path, options }) => options.flatMap((option) => zshValue(path, option))).join("\n")}
  esac
  case "$at" in
${commands.map(zshWords).join("\n")}
  esac
  _describe '${root.name}' items
}
if [ "$funcstack[1]" = "_${root.name}" ]; then
  _${root.name} "$@"
else
  compdef _${root.name} ${root.name}
fi
`;
}

function zshValue(path: string, { names, value }: OptionWords): string[] {
  if (value.kind === "none") return [];
  const pattern = names.map((name) => `"${path}:${name}"`).join("|");
  const reply =
    value.kind === "choice"
      ? `compadd -- ${value.choices.join(" ")}`
      : value.kind === "folder"
        ? "_files -/"
        : value.kind === "file"
          ? "_files"
          : ":";
  return [`    (${pattern}) ${reply}; return ;;`];
}

function zshWords({ path, options, children, arguments: args }: CommandWords): string {
  const item = (word: string, what: string) => quote(`${word.replaceAll(":", "\\:")}:${what}`);
  const choices = args.flatMap(({ value }) => (value.kind === "choice" ? value.choices : []));
  const items = [
    ...children.map(({ name, description }) => item(name, description)),
    ...choices.map((choice) => quote(choice)),
    ...options.flatMap(({ names, description }) => names.map((name) => item(name, description))),
  ];
  return `    ("${path}") items=(${items.join(" ")}) ;;`;
}

function fish(root: CommandWords): string {
  const name = root.name;
  const lines = flatten(root).flatMap((command) => fishLines(name, command));
  return `# fish completion for ${name}; keep it as ~/.config/fish/completions/${name}.fish
function __${name}_at
  set -l at ${name}
  for word in (commandline -opc)[2..]
    switch "$at $word"
      case ${flatten(root)
        .slice(1)
        .map(({ path }) => quote(path))
        .join(" ")}
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
complete -c ${name} -f
${lines.join("\n")}
`;
}

function fishLines(name: string, { path, options, children, arguments: args }: CommandWords): string[] {
  const at = `complete -c ${name} -n "__${name}_at '${path}'"`;
  const choices = args.flatMap(({ value }) => (value.kind === "choice" ? value.choices : []));
  return [
    ...children.map((child) => `${at} -a ${child.name} -d ${quote(child.description)}`),
    ...choices.map((choice) => `${at} -a ${choice}`),
    ...options.map((option) => `${at} ${fishOption(option)}`),
  ];
}

function fishOption({ names, description, value }: OptionWords): string {
  const flags = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const reply =
    value.kind === "choice"
      ? ` -x -a ${quote(value.choices.join(" "))}`
      : value.kind === "file" || value.kind === "folder"
        ? " -r -F"
        : value.kind === "text"
          ? " -x"
          : "";
  return `${flags.join(" ")}${reply} -d ${quote(description)}`;
}

/** For all three shells: in single quotes nothing has a meaning but the quote (and for fish the backslash, which no word of ours has). */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
