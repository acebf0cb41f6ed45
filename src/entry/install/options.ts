import { type Command, InvalidArgumentError, Option } from "commander";
import { LAUNCHER_ARCHITECTURES } from "../../host/launcher.ts";
import type { Host } from "../../host/machine.ts";
import { STANDALONE } from "../../topology/install.ts";
import { createCommand, runCommand } from "../output/command.ts";
import { FOLDERS } from "../output/folders.ts";
import type { Screen } from "../output/screen.ts";

/** Folders, absolute and without a slash at the end, and how to go about it. */
export interface InstallSettings {
  readonly binDir: string;
  readonly confDir: string;
  readonly dryRun: boolean;
}

/** See {@link InstallSettings}. */
export interface UninstallSettings extends InstallSettings {
  readonly stateDir: string;
  /** The agent's last known Nodes. */
  readonly dataDir: string;
  /** Reservations (`networks`) and the runtime's cache of results (`results`). */
  readonly cniDir: string;
  /** Although pods are attached, or something can't be looked at. */
  readonly force: boolean;
}

/** The command line of `minicni install`, without an action. */
export function createInstallCommand(): Command {
  return createCommand(
    "install",
    "puts minicni, what it executes, and loopback where there is none, where runtimes look for plugins",
    [
      ["minicni install --dry-run", "what would be done, as commands; exit 3 when it is anything"],
      ["minicni install", "do it; what is as it should be stays untouched"],
    ],
  )
    .addOption(FOLDERS.bin())
    .addOption(FOLDERS.conf())
    .addOption(
      new Option("--dry-run", "print what would be done; exit 3 when it is anything").default(false),
    );
}

/** The command line of `minicni uninstall`, without an action. */
export function createUninstallCommand(): Command {
  return createCommand("uninstall", "removes all that minicni made on this node, and nothing else", [
    ["minicni uninstall --dry-run", "what would be removed, as commands; exit 3 when it is anything"],
    ["minicni uninstall --force", "although pods are attached: they lose their network"],
  ])
    .addOption(FOLDERS.bin())
    .addOption(FOLDERS.conf())
    .addOption(FOLDERS.state())
    .addOption(FOLDERS.data())
    .addOption(FOLDERS.cni())
    .addOption(
      new Option("--force", "although pods are attached, or something can't be looked at").default(false),
    )
    .addOption(
      new Option("--dry-run", "print what would be done; exit 3 when it is anything").default(false),
    );
}

/** What `minicni launcher` writes, and for which CPU architecture. */
export interface LauncherSettings {
  readonly out: string;
  readonly arch: string;
}

/** The command line of `minicni launcher`, without an action. */
export function createLauncherCommand(): Command {
  return createCommand(
    "launcher",
    `writes the launcher, which executes ${STANDALONE} beside it where no agent takes a call`,
  )
    .addOption(new Option("--out <file>", "where to").makeOptionMandatory().argParser(parseFile))
    .addOption(
      new Option("--arch <name>", "for which CPU").choices(LAUNCHER_ARCHITECTURES).default(process.arch),
    );
}

/** The options of a command without an action; a number: the exit code to end with (help, or misuse, which was told). */
export async function parse<T extends object>(
  command: Command,
  args: readonly string[],
  host: Host,
  screen: Pick<Screen, "print" | "width">,
): Promise<T | number> {
  return (
    (await runCommand(
      command.action(() => undefined),
      args,
      host,
      screen,
    )) ?? command.opts<T>()
  );
}

function parseFile(text: string): string {
  if (text !== "" && !text.endsWith("/")) return text.startsWith("/") ? text : `${process.cwd()}/${text}`;
  throw new InvalidArgumentError("wanted the path of a file.");
}
