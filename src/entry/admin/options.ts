import { type Command, InvalidArgumentError, Option } from "commander";

/** Options by which a command for admins finds what is ours on this node. */
export interface PlaceOptions {
  readonly stateDir: string;
  readonly dataDir: string;
  readonly confDir: string;
  readonly binDir: string;
}

/** Options by which it finds the Nodes. */
export interface NodesOptions {
  readonly nodes?: string;
  readonly kubeconfig?: string;
  readonly node?: string;
}

/** Adds `--state-dir`, `--data-dir`, `--conf-dir`, `--bin-dir` with the agent's and the installer's variables and defaults. */
export function addPlaceOptions(command: Command): Command {
  return command
    .addOption(
      folder("--state-dir <folder>", "records, node.json, agent.json", "MINICNI_STATE_DIR", "/run/minicni"),
    )
    .addOption(folder("--data-dir <folder>", "last known Nodes", "MINICNI_DATA_DIR", "/var/lib/minicni"))
    .addOption(folder("--conf-dir <folder>", "network configurations", "MINICNI_CONF_DIR", "/etc/cni/net.d"))
    .addOption(folder("--bin-dir <folder>", "plugins", "MINICNI_BIN_DIR", "/opt/cni/bin"));
}

/** Adds `--nodes`, `--kubeconfig`, `--node`. */
export function addNodesOptions(command: Command): Command {
  return command
    .addOption(
      text("--nodes <file>", "NodeList file (default: where the agent has its Nodes from)", "MINICNI_NODES"),
    )
    .addOption(text("--kubeconfig <file>", "ask the API by this file", "KUBECONFIG"))
    .addOption(text("--node <name>", "name of this Node (default: the agent's)", "NODE_NAME"));
}

/** Adds `--json`. */
export function addJsonOption(command: Command): Command {
  return command.option("--json", "for machines: one document (docs/cli.md)");
}

/** The chosen source of Nodes, for `readCluster`. */
export function nodesChoice({ nodes, kubeconfig }: NodesOptions, dataDir: string) {
  return { nodesFile: nodes ?? null, kubeconfig: kubeconfig ?? null, dataDir };
}

function text(flags: string, description: string, variable: string): Option {
  const made = new Option(flags, description);
  // An empty variable is what a manifest has for a setting that nobody made.
  return process.env[variable] === "" ? made : made.env(variable);
}

/** An option for an absolute path, with a variable that stands for it unless that is empty. */
export function folder(flags: string, description: string, variable: string, initial: string): Option {
  return text(flags, description, variable).default(initial).argParser(parseFolder);
}

/** An absolute path without a slash at its end. */
export function parseFolder(path: string): string {
  if (/^\/.*[^/]/.test(path)) return path.replace(/\/+$/, "");
  throw new InvalidArgumentError("wanted an absolute path of a folder.");
}
