import { parseJson, parseNetConf } from "../cni/config.ts";
import { CNI_CODE, CniError, formatError } from "../cni/errors.ts";
import { type Environment, parseEnvironment } from "../cni/request.ts";
import { formatVersions, isAtLeast } from "../cni/version.ts";
import { BusyError, HostError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { AllocationError } from "../ipam/allocate.ts";
import { InvalidRange } from "../ipam/range.ts";
import { BridgeConflict } from "../topology/bridge.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";

/** What a call leaves: its exit status, and at most one JSON document for stdout. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
}

/** Answers one CNI call. Never throws: whatever goes wrong becomes the error document of SPEC §5. */
export function answerCni(
  variables: Readonly<Record<string, string | undefined>>,
  readStdin: () => string,
  host: Host,
): Answer {
  // SPEC: the result's cniVersion is the request's; until it is known the oldest we speak is the safe one.
  let cniVersion = "0.3.0";
  try {
    const environment = parseEnvironment(variables);
    if (environment.command === "VERSION") return { exitCode: 0, stdout: formatVersions(null) };
    const json = parseJson(readAll(readStdin));
    if (
      typeof json === "object" &&
      json !== null &&
      "cniVersion" in json &&
      typeof json.cniVersion === "string"
    ) {
      cniVersion = json.cniVersion;
    }
    return { exitCode: 0, stdout: runCommand(environment, json, host) };
  } catch (error) {
    return { exitCode: 1, stdout: formatError(cniVersion, toCniError(error)) };
  }
}

function readAll(readStdin: () => string): string {
  try {
    return readStdin();
  } catch (error) {
    throw new CniError(CNI_CODE.io, `error reading from stdin: ${String(error)}`);
  }
}

function runCommand(environment: Environment, json: unknown, host: Host): string {
  const conf = parseNetConf(json);
  refuseOwnNamespace(environment, host);
  switch (environment.command) {
    case "ADD":
      return add(environment, conf, host);
    case "DEL":
      del(environment, conf, host);
      return "";
    case "CHECK":
      if (!isAtLeast(conf.cniVersion, "0.4.0")) {
        throw new CniError(
          CNI_CODE.incompatibleVersion,
          "config version does not allow CHECK",
          `cniVersion=${conf.cniVersion}`,
        );
      }
      check(environment, conf, host);
      return "";
    case "VERSION":
      return formatVersions(conf.cniVersion);
  }
}

/** Before anything else: acting in our own namespace would take the host's links down (plugins#714). */
function refuseOwnNamespace({ netns, command }: Environment, host: Host): void {
  if (netns === "" || process.env.CNI_NETNS_OVERRIDE === "1" || process.env.CNI_NETNS_OVERRIDE === "TRUE")
    return;
  const theirs = host.namespaceId(netns);
  const own = host.namespaceId("/proc/self/ns/net");
  if (theirs !== null && theirs === own) {
    const message = "plugin's netns and netns from CNI_NETNS should not be the same";
    throw new CniError(
      CNI_CODE.invalidNetns,
      message,
      `CNI_NETNS=${netns} is the namespace this plugin runs in`,
    );
  }
  if (command === "DEL") return;
  if (theirs === null) {
    throw new CniError(
      CNI_CODE.invalidNetns,
      `CNI_NETNS=${netns} does not exist`,
      "wanted: the path of the sandbox's network namespace",
    );
  }
  if (!host.isNetns(netns)) {
    throw new CniError(
      CNI_CODE.invalidNetns,
      `CNI_NETNS=${netns} is not a network namespace`,
      "wanted: a network namespace, found another file",
    );
  }
}

/** The one place where errors of every room become the specification's codes. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof BusyError) return new CniError(CNI_CODE.tryAgainLater, error.message, error.hint);
  if (error instanceof InvalidRange)
    return new CniError(CNI_CODE.invalidConfig, error.message, "see ipam in the network configuration");
  if (error instanceof AllocationError) {
    const hint = error.isExhausted
      ? "remove pods or stale reservations, or widen the range"
      : "ask for another address";
    return new CniError(
      error.isExhausted ? CNI_CODE.tryAgainLater : CNI_CODE.invalidConfig,
      error.message,
      hint,
    );
  }
  if (error instanceof BridgeConflict) {
    return new CniError(
      CNI_CODE.invalidConfig,
      error.message,
      "choose another bridge, remove what is in the way, or set forceAddress",
    );
  }
  if (error instanceof HostError) return new CniError(CNI_CODE.internal, error.message, error.hint);
  if (error instanceof Error && "code" in error && "syscall" in error) {
    return new CniError(CNI_CODE.io, error.message, "see that the folder is writable and the disk has room");
  }
  return new CniError(
    CNI_CODE.internal,
    error instanceof Error ? error.message : String(error),
    "this is a fault of minicni",
  );
}
