import { readFileSync } from "node:fs";
import { checkForAdd, parseJson, parseNetConf } from "../cni/config.ts";
import { formatError } from "../cni/errors.ts";
import { type Environment, parseEnvironment } from "../cni/request.ts";
import type { Host } from "../host/machine.ts";
import { createReservationStore } from "../host/reservations.ts";
import { type Allocation, allocate, type Ledger } from "../ipam/allocate.ts";
import { hostVethName } from "../net/ifname.ts";
import { formatPlan } from "../plan/format.ts";
import type { Plan } from "../plan/step.ts";
import { describeAttachment, planAttach, planDetach } from "../topology/attachment.ts";
import { createWasmPool } from "../wasm/pool.ts";
import { bridgeWish, planWish } from "./bridge.ts";
import { toCniError } from "./cni.ts";
import { chooseMtu, readIpam, readOptions } from "./desired.ts";
import { planMissingMasquerade } from "./masquerade.ts";

const USAGE = "minicni plan attach --config FILE --netns PATH [--ifname eth0] [--container-id ID]";

/** `minicni plan attach`: prints what an ADD would run. Returns the exit code. */
export async function runPlan(args: string[], host: Host, print: (text: string) => void): Promise<number> {
  const { Command } = await import("commander");
  let exitCode = 2;
  const program = new Command("minicni plan")
    .exitOverride()
    .configureOutput({ writeErr: (text) => host.log(text.trim()) });
  program
    .command("attach")
    .description("print the commands an ADD would run, and change nothing")
    .requiredOption("--config <file>", "network configuration, as a runtime would pass it; - for stdin")
    .requiredOption("--netns <path>", "network namespace of the sandbox")
    .option("--ifname <name>", "interface name inside the sandbox", "eth0")
    .option("--container-id <id>", "container ID", "plan")
    .action((options: { config: string; netns: string; ifname: string; containerId: string }) => {
      const stdin = () => readFileSync(options.config === "-" ? 0 : options.config, "utf8");
      const variables = {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: options.containerId,
        CNI_NETNS: options.netns,
        CNI_IFNAME: options.ifname,
        CNI_PATH: "/opt/cni/bin",
      };
      exitCode = printPlan(variables, stdin, host, print);
    });
  try {
    await program.parseAsync(args, { from: "user" });
  } catch {
    if (args.length === 0) host.log(`usage: ${USAGE}`);
  }
  return exitCode;
}

/** `CNI_COMMAND=… minicni --dry-run`: the same from a runtime's environment and stdin. Returns the exit code. */
export function planDryRun(
  variables: Readonly<Record<string, string | undefined>>,
  host: Host,
  print: (text: string) => void,
): number {
  return printPlan(variables, () => readFileSync(0, "utf8"), host, print);
}

function printPlan(
  variables: Readonly<Record<string, string | undefined>>,
  readStdin: () => string,
  host: Host,
  print: (text: string) => void,
): number {
  try {
    const environment = parseEnvironment(variables);
    print(formatPlan(describe(environment, readStdin(), host)));
    return 0;
  } catch (error) {
    print(`${formatError("1.1.0", toCniError(error))}\n`);
    return 1;
  }
}

function describe(environment: Environment, stdin: string, host: Host): Plan {
  const conf = parseNetConf(parseJson(stdin));
  const key = { network: conf.network, containerId: environment.containerId, ifname: environment.ifname };
  if (environment.command !== "ADD") {
    const name = hostVethName(key.network, key.containerId, key.ifname);
    return environment.command === "DEL" && host.link(name) !== null ? planDetach(name) : [];
  }
  checkForAdd(conf);
  const ipam = readIpam(conf, environment, host);
  const options = readOptions(conf, environment, chooseMtu(conf, host));
  const addresses: Allocation[] = allocate(
    ipam.sets,
    ipam.requested,
    readOnlyLedger(host, ipam.dataDir, conf.network),
    createWasmPool,
  );
  const attachment = describeAttachment(key, environment.netns, addresses, options);
  const masquerade = conf.raw.ipMasq === true ? planMissingMasquerade(conf, ipam.sets, host) : [];
  return [...planWish(bridgeWish(conf, attachment), host), ...masquerade, ...planAttach(attachment)];
}

/** Sees what is reserved, keeps nothing. */
function readOnlyLedger(host: Host, dataDir: string, network: string): Ledger {
  return createReservationStore(host, dataDir, network).peek();
}
