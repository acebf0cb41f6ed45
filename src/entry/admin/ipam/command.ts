import { type Command, InvalidArgumentError, Option } from "commander";
import { formatAddress, parseAddress } from "../../../net/address.ts";
import { createCommand } from "../../output/command.ts";
import { FOLDERS, folderOption, orVariable } from "../../output/folders.ts";
import { addJsonOption } from "../options.ts";

/** What all of them were told: where everything is. */
export interface IpamOptions {
  readonly json?: boolean;
  readonly stateDir: string;
  readonly confDir: string;
  readonly storeDir: string;
  readonly cacheDir: string;
}

/** What `show` and `verify` were told. */
export interface ShowOptions extends IpamOptions {
  readonly network?: string;
  readonly address?: string;
  readonly container?: string;
}

/** What `map` was told. */
export interface MapOptions extends ShowOptions {
  readonly svg?: string;
}

/** What `release` was told. */
export interface ReleaseOptions extends ShowOptions {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly binDir: string;
}

/** Called by commander: arguments, options, command. */
type Action = (...given: readonly unknown[]) => Promise<void>;

/** What each of them does; without, the commands are there to be looked at only. */
export interface IpamActions {
  readonly show: Action;
  readonly map: Action;
  readonly verify: Action;
  readonly release: Action;
}

/** The command line of `minicni ipam`. */
export function createIpamCommand(actions: IpamActions | null = null): Command {
  const ipam = createCommand("ipam", "who holds which pod address of this node, and whether all of it fits", [
    ["minicni ipam show", "every address that is held, and by whom"],
    ["minicni ipam show --address 10.244.1.7", "who has it"],
    ["minicni ipam map", "the ranges as blocks"],
    ["minicni ipam map --svg pool.svg", "the same as a picture"],
    [
      "minicni ipam verify",
      "leaks, doubles and what else does not fit; exit 0 fine, 1 findings, 2 it failed",
    ],
    ["minicni ipam release 10.244.1.7", "free an address whose pod is gone"],
  ]);
  const show = addPlaces(createCommand("show", "who holds which address"))
    .addOption(new Option("--address <address>", "this address alone").argParser(parseWish))
    .option("--container <id>", "containers whose ID begins so");
  const map = addPlaces(createCommand("map", "the ranges as blocks: held, free, given next")).option(
    "--svg <file>",
    "write a picture of them there instead",
  );
  const verify = addPlaces(
    createCommand("verify", "compare reservations, records, veths, namespaces and what the runtime keeps"),
  );
  const release = addPlaces(
    createCommand("release", "free addresses whose pod is gone, with whatever else is left of it"),
  )
    .argument("<address...>", "IP addresses", collectWishes)
    .option("--dry-run", "tell what would go; change nothing")
    .option("--force", "though its pod lives or may live: it loses its network")
    .addOption(
      orVariable(
        folderOption("--bin-dir <folder>", "plugins, for addresses that another one gave", "/opt/cni/bin"),
        "MINICNI_BIN_DIR",
      ),
    );
  if (actions !== null) {
    show.action(actions.show);
    map.action(actions.map);
    verify.action(actions.verify);
    release.action(actions.release);
  }
  for (const command of [show, map, verify, release]) ipam.addCommand(command);
  return ipam;
}

function addPlaces(command: Command): Command {
  return addJsonOption(command)
    .option("--network <name>", "this network alone")
    .addOption(FOLDERS.state())
    .addOption(FOLDERS.conf())
    .addOption(
      folderOption(
        "--store-dir <folder>",
        "reservations of networks that nothing else names",
        "/var/lib/cni/networks",
      ),
    )
    .addOption(
      folderOption("--cache-dir <folder>", "where the runtime keeps the results of its ADDs", "/var/lib/cni"),
    );
}

function parseWish(text: string): string {
  const address = parseAddress(text);
  if (address === null) throw new InvalidArgumentError("wanted an IP address.");
  return formatAddress(address);
}

function collectWishes(text: string, before: readonly string[] | undefined): string[] {
  return [...new Set([...(before ?? []), parseWish(text)])];
}
