import { readFileSync } from "node:fs";
import type { Command } from "commander";
import {
  checkForAdd,
  delegateOf,
  isIpamCall,
  type NetConf,
  parseJson,
  parseNetConf,
} from "../../../cni/config.ts";
import { formatError } from "../../../cni/errors.ts";
import { checkArgs, type Environment, parseEnvironment } from "../../../cni/request.ts";
import { LATEST_VERSION } from "../../../cni/version.ts";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { readRecord } from "../../../host/records.ts";
import { createReservationStore } from "../../../host/reservations.ts";
import { allocate } from "../../../ipam/allocate.ts";
import { formatPlan } from "../../../plan/format.ts";
import type { Plan } from "../../../plan/step.ts";
import { describeAttachment, planAttach, planLinksRemoval } from "../../../topology/attachment.ts";
import { planSpoofCheck } from "../../../topology/spoofcheck.ts";
import { createWasmPool } from "../../../wasm/pool.ts";
import { bridgeWish, planWish } from "../../bridge.ts";
import type { Call, Variables } from "../../call.ts";
import { refuseOwnNamespace } from "../../cni.ts";
import { readIpam, readOptions, readRoutes } from "../../desired.ts";
import { attachmentLinks } from "../../detach.ts";
import { toCniError } from "../../errors.ts";
import { describeClaim, loadHostPorts, readHostPorts } from "../../host-ports/when-asked.ts";
import { masqueradeBackend, planMissingMasquerade } from "../../masquerade.ts";

/** Adds `plan attach`: prints what an ADD would run. `end` is told the exit code: 0 printed, 1 refused as an ADD would be. */
export function addAttachCommand(
  plan: Command,
  host: Host,
  print: (text: string) => void,
  end: (exitCode: number) => void,
): void {
  plan
    .command("attach")
    .description("print the commands an ADD would run, and change nothing")
    .requiredOption("--config <file>", "network configuration, as a runtime would pass it; - for stdin")
    .requiredOption("--netns <path>", "network namespace of the sandbox")
    .option("--ifname <name>", "interface name inside the sandbox", "eth0")
    .option("--container-id <id>", "container ID", "plan")
    .action(async (options: { config: string; netns: string; ifname: string; containerId: string }) => {
      const stdin = () => readFileSync(options.config === "-" ? 0 : options.config, "utf8");
      const variables = {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: options.containerId,
        CNI_NETNS: options.netns,
        CNI_IFNAME: options.ifname,
        CNI_PATH: "/opt/cni/bin",
      };
      end(await printPlan(variables, stdin, host, print));
    });
}

/** `CNI_COMMAND=… minicni --dry-run`: the same from a runtime's environment and stdin. Returns the exit code. */
export function planDryRun(variables: Variables, host: Host, print: (text: string) => void): Promise<number> {
  return printPlan(variables, () => readFileSync(0, "utf8"), host, print);
}

async function printPlan(
  variables: Variables,
  readStdin: () => string,
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  try {
    const environment = parseEnvironment(variables);
    const stdin = readStdin();
    const conf = parseNetConf(parseJson(stdin));
    const { containerId, ifname } = environment;
    if (environment.command === "ADD") refuseAsAdd(conf, environment, variables, host);
    const key = { network: conf.network, containerId, ifname };
    print(formatPlan(await describe({ key, environment, conf, variables, stdin }, host)));
    return 0;
  } catch (error) {
    print(`${formatError(LATEST_VERSION, toCniError(error))}\n`);
    return 1;
  }
}

/** What ADD refuses, a plan of it refuses. */
function refuseAsAdd(conf: NetConf, environment: Environment, variables: Variables, host: Host): void {
  if (isIpamCall(conf)) {
    throw new HostError(
      `type=${conf.raw.type} makes the links, not we`,
      "plans can be printed for our own type",
    );
  }
  checkArgs(environment);
  refuseOwnNamespace(environment, variables, host);
}

async function describe({ key, environment, conf }: Call, host: Host): Promise<Plan> {
  if (environment.command !== "ADD") {
    if (environment.command !== "DEL") return [];
    return planLinksRemoval(attachmentLinks(key, readRecord(host, conf.stateDir, key), host));
  }
  checkForAdd(conf);
  const delegate = delegateOf(conf);
  if (delegate !== null) {
    throw new HostError(
      `ipam.type=${delegate} manages the addresses: which ones can't be known without asking it for them`,
      "plans can be printed for the built-in address store",
    );
  }
  const { sets, requested } = readIpam(conf, environment, host);
  const options = readOptions(conf, environment, host);
  const ledger = createReservationStore(host, conf.dataDir, conf.network).peek(sets);
  const addresses = allocate(sets, requested, ledger, createWasmPool);
  const routes = readRoutes(conf);
  const attachment = describeAttachment(key, environment.netns, addresses, { ...options, routes });
  const asked = await readHostPorts(conf, host);
  const claim = await describeClaim(asked, key, conf.bridge, addresses);
  const backend = masqueradeBackend(conf, host);
  const subnets = sets.flatMap((set) => set.map(({ subnet }) => subnet));
  const port = { hostVeth: attachment.hostVeth, mac: attachment.podMac };
  return [
    ...planWish(bridgeWish(conf, attachment), host),
    ...(backend === null ? [] : await planMissingMasquerade(conf, subnets, backend, host)),
    ...(conf.raw.macspoofchk === true ? planSpoofCheck(conf.network, port) : []),
    ...planAttach(attachment),
    ...(claim === null ? [] : await (await loadHostPorts()).planPorts(claim, conf.stateDir, host)),
  ];
}
