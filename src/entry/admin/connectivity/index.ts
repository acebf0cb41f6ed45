import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { type Address, parseAddress } from "../../../net/address.ts";
import { untilInterrupted } from "../../interrupt.ts";
import { createCommand, runAction } from "../../output/command.ts";
import { formatJson } from "../../output/json.ts";
import { withProgress } from "../../output/progress.ts";
import type { Screen } from "../../output/screen.ts";
import {
  addJsonOption,
  addNodesOptions,
  addPlaceOptions,
  type NodesOptions,
  nodesChoice,
  type PlaceOptions,
  parsePort,
} from "../options.ts";
import { chooseNetwork, type ProbeNetwork } from "../probe-network.ts";
import { requireRoot, withProbePod } from "../probe-pod.ts";
import { collectSurroundings } from "./collect.ts";
import { attachPod, probeAll } from "./probe.ts";
import { type ConnectivityReport, isWell } from "./report.ts";
import { formatConnectivity } from "./text.ts";

/** What `minicni connectivity` was told. */
interface ConnectivityOptions extends PlaceOptions, NodesOptions {
  readonly json?: boolean;
  readonly config?: string;
  readonly peers: number;
  readonly peer?: readonly string[];
  readonly to?: readonly Address[];
  readonly port?: number;
}

const MOST_PEERS = 16;

/** The command line of `minicni connectivity`, without an action. */
export function createConnectivityCommand(): Command {
  const command = createCommand(
    "connectivity",
    "whether this node and a pod on it reach the other nodes and their pods",
    [
      [
        "minicni connectivity",
        "up to 16 peers, both families; exit 0 all well, 1 something is lost, 2 it failed",
      ],
      ["minicni connectivity --peer n2", "one peer"],
      ["minicni connectivity --peers all", "every peer"],
      ["minicni connectivity --to 10.244.2.7", "also this address, of a pod or a Service"],
    ],
  );
  addNodesOptions(addPlaceOptions(addJsonOption(command)));
  const collect =
    <T>(parse: (text: string) => T) =>
    (text: string, before: readonly T[] | undefined) => [...(before ?? []), parse(text)];
  return command
    .option(
      "--config <file>",
      "network configuration of the probing pod (default: the one that a runtime takes)",
    )
    .addOption(
      new Option("--peers <number>", "at most so many peers, or all")
        .default(MOST_PEERS)
        .argParser(parsePeers),
    )
    .addOption(
      new Option("--peer <name>", "this peer; may be given more than once").argParser(collect(String)),
    )
    .addOption(
      new Option("--to <address>", "also this address; may be given more than once").argParser(
        collect(parseTo),
      ),
    )
    .addOption(
      new Option(
        "--port <number>",
        "port of the agents, which say their pods (default: ours, unless it is on loopback)",
      ).argParser(parsePort),
    );
}

/** `minicni connectivity`: returns the exit code: 0 all well, 1 something is lost, 2 it failed or was misused. */
export function runConnectivity(args: readonly string[], host: Host, screen: Screen): Promise<number> {
  return runAction<ConnectivityOptions>(createConnectivityCommand(), args, host, screen, (options) => {
    requireRoot("connectivity makes a network namespace and a pod in it");
    return untilInterrupted(host, async () => {
      const report = await withProgress(screen, (tell) => look(options, host, tell));
      screen.print(
        options.json === true
          ? formatJson("connectivity", { ...report })
          : formatConnectivity(report, screen),
      );
      return isWell(report) ? 0 : 1;
    });
  });
}

async function look(
  options: ConnectivityOptions,
  host: Host,
  tell: (what: string) => void,
): Promise<ConnectivityReport> {
  const { stateDir, binDir, peers: most, peer: names = [], to: given = [] } = options;
  const surroundings = await collectSurroundings(
    {
      stateDir,
      choice: nodesChoice(options, options.dataDir),
      node: options.node ?? null,
      most,
      names,
      port: options.port ?? null,
    },
    host,
    tell,
  );
  const wish = { given, stateDir };
  const network = findNetwork(options, host);
  if (typeof network === "string") return await probeAll(surroundings, network, wish, host, tell);
  tell("making a pod");
  return await withProbePod({ purpose: "probe", network, binDir, sandbox: null }, host, async (pod) => {
    return await probeAll(surroundings, await attachPod(pod, network), wish, host, tell);
  });
}

/** A text: why no pod can be made; then nodes are probed all the same. */
function findNetwork({ config, confDir }: ConnectivityOptions, host: Host): ProbeNetwork | string {
  if (config !== undefined) return chooseNetwork({ file: config, confDir }, host);
  try {
    return chooseNetwork({ file: null, confDir }, host);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return `${error.message}; ${error.hint}`;
  }
}

function parsePeers(text: string): number {
  if (text === "all") return Number.POSITIVE_INFINITY;
  const number = Number(text);
  if (/^[0-9]+$/.test(text) && number > 0) return number;
  throw new InvalidArgumentError("wanted a number, or all.");
}

function parseTo(text: string): Address {
  const address = parseAddress(text);
  if (address !== null) return address;
  throw new InvalidArgumentError("wanted an IP address.");
}
