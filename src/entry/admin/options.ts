import { type Command, InvalidArgumentError, Option } from "commander";
import { FOLDERS, orVariable } from "../output/folders.ts";

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
    .addOption(FOLDERS.state())
    .addOption(FOLDERS.data())
    .addOption(FOLDERS.conf())
    .addOption(FOLDERS.bin());
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
  return orVariable(new Option(flags, description), variable);
}

/** A TCP port. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^[0-9]+$/.test(text) && port >= 1 && port <= 65535) return port;
  throw new InvalidArgumentError("wanted a port, from 1 to 65535.");
}
