import { interfaceNameFault } from "../net/ifname.ts";
import { CNI_CODE, CniError } from "./errors.ts";

/** The verbs of SPEC 1.1.0. */
export const COMMANDS = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] as const;
/** One of them. */
export type Command = (typeof COMMANDS)[number];

/** What a runtime says in the environment; which attachment, and where. */
export interface Environment {
  /** Null for one that nobody knows: told after the configuration was read, as the Go library does. */
  readonly command: Command | null;
  readonly commandText: string;
  readonly containerId: string;
  /** Path of the sandbox's network namespace; empty when a DEL comes after it is gone. */
  readonly netns: string;
  readonly ifname: string;
  readonly args: ReadonlyMap<string, string>;
  /** Pairs of CNI_ARGS that have no `=`. */
  readonly badArgs: readonly string[];
  readonly path: readonly string[];
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Variable × the commands that need it, in the order in which missing ones are reported (skel.go). */
const REQUIRED: readonly (readonly [name: string, by: readonly Command[]])[] = [
  ["CNI_CONTAINERID", ["ADD", "DEL", "CHECK"]],
  ["CNI_NETNS", ["ADD", "CHECK"]],
  ["CNI_IFNAME", ["ADD", "DEL", "CHECK"]],
  ["CNI_PATH", ["ADD", "DEL", "CHECK", "GC", "STATUS"]],
];

/** SPEC §2 "Parameters": the container ID's alphabet. */
const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** The longest file name of Linux is 255 bytes; `:ifname.json` must fit behind the ID. */
const MAX_CONTAINER_ID = 220;

/** Keys of CNI_ARGS that mean something to us or come with every pod; any other is worth a line in the log. */
const KNOWN_ARGS = new Set([
  "IgnoreUnknown",
  "IP",
  "MAC",
  "GATEWAY",
  "K8S_POD_NAMESPACE",
  "K8S_POD_NAME",
  "K8S_POD_INFRA_CONTAINER_ID",
  "K8S_POD_UID",
]);

/**
 * Reads and checks the CNI variables. An empty one counts as missing; all missing ones are reported at once.
 * Throws code 4 with the variable and its value.
 */
export function parseEnvironment(variables: Variables): Environment {
  const commandText = variables.CNI_COMMAND ?? "";
  const command = COMMANDS.find((known) => known === commandText) ?? null;
  const missing = REQUIRED.filter(
    ([name, by]) => command !== null && by.includes(command) && !variables[name],
  ).map(([name]) => name);
  if (commandText === "") missing.unshift("CNI_COMMAND");
  if (missing.length > 0) {
    throw new CniError(CNI_CODE.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
  }
  const containerId = variables.CNI_CONTAINERID ?? "";
  const ifname = variables.CNI_IFNAME ?? "";
  if (command === "ADD" || command === "DEL" || command === "CHECK") {
    checkContainerId(containerId);
    checkInterfaceName(ifname);
  }
  return {
    command,
    commandText,
    containerId,
    netns: variables.CNI_NETNS ?? "",
    ifname,
    ...parseArgs(variables.CNI_ARGS ?? ""),
    path: (variables.CNI_PATH ?? "").split(":").filter((folder) => folder !== ""),
  };
}

function checkContainerId(containerId: string): void {
  if (!CONTAINER_ID.test(containerId)) {
    throw new CniError(
      CNI_CODE.invalidEnvironment,
      "invalid characters in containerID",
      `CNI_CONTAINERID=${containerId}`,
    );
  }
  if (containerId.length > MAX_CONTAINER_ID) {
    const details = `CNI_CONTAINERID has ${containerId.length} characters, at most ${MAX_CONTAINER_ID} can be kept`;
    throw new CniError(CNI_CODE.invalidEnvironment, "containerID is too long", details);
  }
}

function checkInterfaceName(ifname: string): void {
  const fault = interfaceNameFault(ifname);
  const isUsable = /^[A-Za-z0-9_.+@,=-]+$/.test(ifname) && !ifname.startsWith("-");
  // Their names in /proc/sys/net/*/conf stand for every link.
  if (fault === null && isUsable && ifname !== "all" && ifname !== "default") return;
  const message =
    fault ??
    (isUsable
      ? "interface name is reserved by the kernel"
      : "interface name has characters that this plugin can't use");
  const limit =
    fault === "interface name is too long" ? ": interface name should be less than 16 characters" : "";
  throw new CniError(CNI_CODE.invalidEnvironment, message, `CNI_IFNAME=${ifname}${limit}`);
}

/** `K=V;K=V`. Which keys matter is left to whoever knows them; nobody may fail for an unknown one (k8s PR#24983). */
function parseArgs(text: string): { args: Map<string, string>; badArgs: string[] } {
  const args = new Map<string, string>();
  const badArgs: string[] = [];
  for (const pair of text.split(";")) {
    const at = pair.indexOf("=");
    if (at > 0) args.set(pair.slice(0, at), pair.slice(at + 1));
    else if (pair !== "") badArgs.push(pair);
  }
  return { args, badArgs };
}

/** Keys of CNI_ARGS that will have no effect, for the log. */
export function unknownArgs({ args }: Environment): string[] {
  return [...args.keys()].filter((key) => !KNOWN_ARGS.has(key));
}

/** What ADD and CHECK refuse of CNI_ARGS; a DEL must end well whatever they hold. Throws code 4. */
export function checkArgs({ badArgs }: Environment): void {
  const [bad] = badArgs;
  if (bad === undefined) return;
  throw new CniError(CNI_CODE.invalidEnvironment, `CNI_ARGS: invalid pair "${bad}"`, "wanted: K=V;K=V");
}
