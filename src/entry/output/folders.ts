import { InvalidArgumentError, Option } from "commander";

/** The same option, for which a variable stands unless that is empty, as a manifest has it for a setting that nobody made. */
export function orVariable(option: Option, variable: string): Option {
  return process.env[variable] === "" ? option : option.env(variable);
}

/** An option for an absolute path. */
export function folderOption(flags: string, description: string, initial: string): Option {
  return new Option(flags, description).default(initial).argParser(parseFolder);
}

/** Where a node has what is ours, or what we look at; a new option each time. */
export const FOLDERS = {
  bin: folder("--bin-dir <folder>", "where runtimes look for plugins", "MINICNI_BIN_DIR", "/opt/cni/bin"),
  conf: folder("--conf-dir <folder>", "network configurations", "MINICNI_CONF_DIR", "/etc/cni/net.d"),
  state: folder(
    "--state-dir <folder>",
    "records, node.json, agent.json",
    "MINICNI_STATE_DIR",
    "/run/minicni",
  ),
  data: folder("--data-dir <folder>", "last known Nodes", "MINICNI_DATA_DIR", "/var/lib/minicni"),
  cni: folder("--cni-dir <folder>", "reservations and results", "MINICNI_CNI_DIR", "/var/lib/cni"),
} as const;

function folder(flags: string, description: string, variable: string, initial: string): () => Option {
  return () => orVariable(folderOption(flags, description, initial), variable);
}

/** An absolute path without a slash at its end. */
export function parseFolder(text: string): string {
  // A line break would make two commands of one in a printed plan.
  const isPath = /^\/.*[^/]/.test(text) && ![...text].some((char) => char < " " || char === "\x7f");
  if (isPath) return text.replace(/\/+$/, "");
  throw new InvalidArgumentError("wanted an absolute path of a folder.");
}
