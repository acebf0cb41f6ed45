import type { Command } from "commander";
import { findIpamFaults } from "../../../doctor/ipam-faults.ts";
import type { Ipam } from "../../../doctor/sections/ipam.ts";
import { HostError, messageOf } from "../../../host/errors.ts";
import { PUBLIC, replaceFile } from "../../../host/files.ts";
import type { Host } from "../../../host/machine.ts";
import { readReport } from "../../agent/report.ts";
import { FAILED, runCommand } from "../../output/command.ts";
import { formatJson } from "../../output/json.ts";
import { withProgress } from "../../output/progress.ts";
import type { Screen } from "../../output/screen.ts";
import { wrap } from "../../output/text.ts";
import { printable } from "../status/printable.ts";
import {
  createIpamCommand,
  type IpamOptions,
  type MapOptions,
  type ReleaseOptions,
  type ShowOptions,
} from "./command.ts";
import { formatMaps } from "./map-text.ts";
import { mapNetworks } from "./maps.ts";
import { observeIpam } from "./observe.ts";
import { type Outcome, releaseAll } from "./release.ts";
import { describeHoldings, formatHoldings, sumOf } from "./show.ts";
import { drawMaps } from "./svg.ts";
import { exitCodeOf, formatFaults } from "./verify.ts";

/** Time for one `release`, which waits for calls that hold the same locks. */
const RELEASE_MS = 60_000;

/**
 * `minicni ipam`: returns the exit code: 0 fine, 1 something does not fit or was refused, 2 it failed or was misused.
 */
export async function runIpam(args: readonly string[], host: Host, screen: Screen): Promise<number> {
  let exitCode: number = FAILED;
  const act =
    <O extends IpamOptions>(work: (options: O, addresses: readonly string[]) => Promise<number>) =>
    async (...given: readonly unknown[]) => {
      const command = given.at(-1) as Command;
      exitCode = await work(command.opts<O>(), command.processedArgs.flat() as string[]);
    };
  const print = (options: IpamOptions, name: string, document: object, text: () => string) =>
    screen.print(options.json === true ? formatJson(`ipam ${name}`, { ...document }) : text());
  const command = createIpamCommand({
    show: act<ShowOptions>(async (options) => {
      const ipam = await observe(options, host, screen);
      const networks = describeHoldings(ipam, filterOf(options, ipam));
      const found = networks.some(({ holdings }) => holdings.length > 0);
      const isFiltered = options.address !== undefined || options.container !== undefined;
      print(options, "show", { networks, faults: ipam.faults }, () =>
        [
          formatHoldings(networks, Date.now(), screen),
          ...(networks.length > 1 ? [`\n${sumOf(networks)}\n`] : []),
          ...ipam.faults
            .flatMap((fault) => wrap(`not looked at: ${fault}`, screen.width))
            .map((line) => `${line}\n`),
        ].join(""),
      );
      return isFiltered && !found ? 1 : exitOf(ipam);
    }),
    map: act<MapOptions>(async (options) => {
      const ipam = await observe(options, host, screen);
      const { network } = filterOf(options, ipam);
      const maps = mapNetworks({
        ...ipam,
        networks: ipam.networks.filter((it) => network === null || it.network === network),
      });
      if (options.svg !== undefined) save(options.svg, drawMaps(maps, new Date().toISOString()));
      if (options.svg === undefined || options.json === true) {
        print(options, "map", { networks: maps, faults: ipam.faults }, () => formatMaps(maps, screen));
      }
      return exitOf(ipam);
    }),
    verify: act<ShowOptions>(async (options) => {
      const all = await observe(options, host, screen);
      const { network } = filterOf(options, all);
      const ipam = {
        ...all,
        networks: all.networks.filter((it) => network === null || it.network === network),
      };
      const faults = findIpamFaults(ipam);
      print(options, "verify", { findings: faults, faults: ipam.faults }, () =>
        formatFaults(ipam, faults, screen),
      );
      return exitCodeOf(ipam, faults);
    }),
    release: act<ReleaseOptions>(async (options, addresses) => {
      host.deadline.restart(RELEASE_MS);
      const { network } = filterOf(options, await observe(options, host, screen));
      const outcomes = await releaseAll(
        addresses,
        {
          network,
          isDryRun: options.dryRun === true,
          isForced: options.force === true,
          places: options,
          pluginDir: options.binDir,
          observe: () => observe(options, host, screen),
        },
        host,
      );
      print(options, "release", { addresses: outcomes }, () => formatOutcomes(outcomes, screen));
      return outcomes.every(({ outcome }) => outcome === "released" || outcome === "would be released")
        ? 0
        : 1;
    }),
  });
  return (await runCommand(command, args, host, screen)) ?? exitCode;
}

/** Throws HostError where the state folder itself can't be read. */
function observe(options: IpamOptions, host: Host, screen: Screen): Promise<Ipam> {
  return withProgress(screen, async (tell) => {
    tell("looking at reservations, records and namespaces");
    try {
      return printable(await observeIpam(options, readReport(options.stateDir, host).report, host));
    } catch (error) {
      if (error instanceof HostError) throw error;
      throw new HostError(messageOf(error), "run it as root");
    }
  });
}

/** What could not be looked at is told, and is no success. */
function exitOf({ faults }: Ipam): 0 | 2 {
  return faults.length > 0 ? FAILED : 0;
}

/** Throws HostError for a network that there is none of. */
function filterOf({ network, address, container }: ShowOptions, { networks }: Ipam) {
  if (network !== undefined && !networks.some((it) => it.network === network)) {
    const known = networks.map((it) => it.network).join(", ");
    throw new HostError(
      `there is no network ${network}`,
      known === "" ? "none has addresses here" : `there are ${known}`,
    );
  }
  return { network: network ?? null, address: address ?? null, container: container ?? null };
}

function save(path: string, text: string): void {
  try {
    replaceFile(path, text, PUBLIC);
  } catch (error) {
    throw new HostError(`${path} can't be written: ${messageOf(error)}`, "name another file for --svg");
  }
}

function formatOutcomes(
  outcomes: readonly Outcome[],
  { width, paint }: Pick<Screen, "width" | "paint">,
): string {
  const lines = outcomes.flatMap(({ address, network, outcome, lines: more }) => {
    const isGood = outcome === "released" || outcome === "would be released";
    const verdict = (isGood ? paint.good : paint.bad)(outcome);
    return [
      ...wrap(`${paint.bold(address)}${network === null ? "" : ` of ${network}`}: ${verdict}`, width),
      ...more.flatMap((line) => wrap(line, width, "  ")),
    ];
  });
  return `${lines.join("\n")}\n`;
}
