import { interfaceNameFault } from "../net/ifname.ts";
import { CNI_CODE, CniError } from "./errors.ts";

export const COMMANDS = ["ADD", "DEL", "CHECK", "VERSION"] as const;
export type Command = (typeof COMMANDS)[number];

/** What a runtime says in the environment; which attachment, and where. */
export interface Environment {
  readonly command: Command;
  readonly containerId: string;
  /** Path of the sandbox's network namespace; empty when a DEL comes after it is gone. */
  readonly netns: string;
  readonly ifname: string;
  readonly args: ReadonlyMap<string, string>;
  readonly path: readonly string[];
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Variable × the commands that need it, in the order in which missing ones are reported (skel.go). */
const REQUIRED: readonly (readonly [name: string, by: readonly Command[]])[] = [
  ["CNI_COMMAND", ["ADD", "DEL", "CHECK", "VERSION"]],
  ["CNI_CONTAINERID", ["ADD", "DEL", "CHECK"]],
  ["CNI_NETNS", ["ADD", "CHECK"]],
  ["CNI_IFNAME", ["ADD", "DEL", "CHECK"]],
  ["CNI_PATH", ["ADD", "DEL", "CHECK"]],
];

/** SPEC §2 "Parameters": the container ID's alphabet. */
const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** The longest file name of Linux is 255 bytes; `:ifname.json` must fit behind the ID. */
const MAX_CONTAINER_ID = 220;

/**
 * Reads and checks the CNI variables. An empty one counts as missing; all missing ones are reported at once.
 * Throws code 4 with the variable and its value.
 */
export function parseEnvironment(variables: Variables): Environment {
  const command = parseCommand(variables.CNI_COMMAND ?? "");
  const missing = REQUIRED.filter(([name, by]) => by.includes(command) && !variables[name]).map(
    ([name]) => name,
  );
  if (missing.length > 0) {
    throw new CniError(CNI_CODE.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
  }
  const containerId = variables.CNI_CONTAINERID ?? "";
  const ifname = variables.CNI_IFNAME ?? "";
  if (command !== "VERSION") {
    checkContainerId(containerId);
    checkInterfaceName(ifname);
  }
  return {
    command,
    containerId,
    netns: variables.CNI_NETNS ?? "",
    ifname,
    args: parseArgs(variables.CNI_ARGS ?? ""),
    path: (variables.CNI_PATH ?? "").split(":").filter((folder) => folder !== ""),
  };
}

function parseCommand(text: string): Command {
  const known = COMMANDS.find((command) => command === text);
  if (known !== undefined) return known;
  if (text === "")
    throw new CniError(CNI_CODE.invalidEnvironment, "required env variables [CNI_COMMAND] missing");
  throw new CniError(
    CNI_CODE.invalidEnvironment,
    `unknown CNI_COMMAND: ${text}`,
    `known: ${COMMANDS.join(", ")}`,
  );
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
  if (fault === null && /^[A-Za-z0-9_.+@,=-]+$/.test(ifname) && !ifname.startsWith("-")) return;
  const message = fault ?? "interface name has characters that this plugin can't use";
  throw new CniError(CNI_CODE.invalidEnvironment, message, `CNI_IFNAME=${ifname}`);
}

/** `K=V;K=V`; pairs that do not split in two, and unknown keys, are left to whoever knows them (k8s PR#24983). */
function parseArgs(text: string): Map<string, string> {
  const pairs = text
    .split(";")
    .filter((pair) => pair.includes("="))
    .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  return new Map(pairs.filter(([key]) => key !== "").map(([key = "", value = ""]) => [key, value]));
}
