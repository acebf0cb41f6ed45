import { isIpamCall, type NetConf, parseJson, parseNetConf } from "../cni/config.ts";
import { CNI_CODE, CniError, formatError } from "../cni/errors.ts";
import { type Command, type Environment, parseEnvironment, unknownArgs } from "../cni/request.ts";
import { findVersion, formatVersions, isAtLeast, LATEST_VERSION, OLDEST_VERSION } from "../cni/version.ts";
import { messageOf, OverdueError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import type { Stdin } from "../host/stdin.ts";
import { isBatchSafe } from "../net/ifname.ts";
import { add } from "./add.ts";
import type { Call, Variables } from "./call.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { toCniError } from "./errors.ts";
import { gc } from "./gc.ts";
import { ipamAdd, ipamCheck } from "./ipam-plugin.ts";
import { status } from "./status.ts";

/** What a call leaves: its exit status, and at most one JSON document for stdout. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  /** Undoes an ADD whose answer nobody got. */
  readonly takeBack?: () => Promise<void>;
}

/**
 * How long a command may take by default, in milliseconds: inside what its caller waits, so that the caller gets our
 * answer and not a killed process (kubelet: ADD 4 min, DEL 2 min; CRI-O: DEL 1 min, GC 30 s, STATUS every half second).
 */
export const DEADLINE_MS: Readonly<Record<Command, number>> = {
  ADD: 90_000,
  DEL: 50_000,
  CHECK: 50_000,
  GC: 25_000,
  STATUS: 10_000,
  VERSION: 10_000,
};

/** How long VERSION looks for a cniVersion on stdin, in milliseconds; libcni writes it before the plugin starts. */
const PEEK_MS = 25;

/** What a plugin does for the verbs; `parseEnvironment` and the rules of the specification come before. */
export interface Verbs {
  /** Returns the document for stdout, empty for none. */
  run(command: Command, call: Call, host: Host): Promise<string>;
  /** Undoes an ADD whose answer nobody got. */
  takeBack(call: Call, host: Host): Promise<void>;
}

/** Those of the pod network. */
export const PLUGIN: Verbs = { run: dispatch, takeBack: del };

/**
 * Answers one CNI call, by default as the pod network's plugin. Never throws: whatever goes wrong becomes the error
 * document of SPEC §5.
 */
export async function answerCni(
  variables: Variables,
  stdin: Stdin,
  host: Host,
  verbs: Verbs = PLUGIN,
): Promise<Answer> {
  // SPEC §5: the version in use by the plugin. Until the configuration is read that is our newest.
  let cniVersion: string = LATEST_VERSION;
  try {
    const environment = parseEnvironment(variables);
    if (environment.command === "VERSION") {
      return { exitCode: 0, stdout: formatVersions(await askedVersion(stdin)) };
    }
    if (environment.command !== null) host.deadline.restart(DEADLINE_MS[environment.command]);
    const text = await readAll(stdin, host);
    const json = parseJson(text);
    cniVersion = versionOf(json);
    return await runCommand(environment, json, { variables, stdin: text }, host, verbs);
  } catch (error) {
    return { exitCode: 1, stdout: formatError(cniVersion, toCniError(error)) };
  }
}

/** The request's version when it is there at once; VERSION must not wait for the end of stdin (skel.go never reads it). */
async function askedVersion(stdin: Stdin) {
  try {
    const json = parseJson((await stdin.peek(PEEK_MS)) ?? "");
    return typeof json === "object" && json !== null && "cniVersion" in json
      ? findVersion(json.cniVersion)
      : null;
  } catch {
    return null;
  }
}

function versionOf(json: unknown): string {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return LATEST_VERSION;
  return "cniVersion" in json && typeof json.cniVersion === "string" && json.cniVersion !== ""
    ? json.cniVersion
    : OLDEST_VERSION;
}

async function readAll(stdin: Stdin, host: Host): Promise<string> {
  try {
    return await stdin.read(host.deadline);
  } catch (error) {
    if (error instanceof OverdueError) throw error;
    const reason = messageOf(error);
    throw new CniError(CNI_CODE.io, `error reading from stdin: ${reason}`);
  }
}

async function runCommand(
  environment: Environment,
  json: unknown,
  raw: Pick<Call, "variables" | "stdin">,
  host: Host,
  verbs: Verbs,
): Promise<Answer> {
  const { command, containerId, ifname } = environment;
  const conf = parseNetConf(json, command === "DEL" || command === "GC", command === "GC");
  if (command === null) {
    const details = "known: ADD, DEL, CHECK, GC, STATUS, VERSION";
    throw new CniError(
      CNI_CODE.invalidEnvironment,
      `unknown CNI_COMMAND: ${environment.commandText}`,
      details,
    );
  }
  refuseOldVersion(command, conf);
  if (conf.deadline !== null) host.deadline.restart(conf.deadline * 1000);
  host.useExecutor(conf.raw.executor ?? "auto");
  if (command !== "GC" && command !== "STATUS") refuseOwnNamespace(environment, raw.variables, host);
  const key = { network: conf.network, containerId, ifname };
  const call = { key, environment, conf, ...raw };
  const stdout = await verbs.run(command, call, host);
  return {
    exitCode: 0,
    stdout,
    ...(command === "ADD" ? { takeBack: () => verbs.takeBack(call, host) } : {}),
  };
}

async function dispatch(command: Command, call: Call, host: Host): Promise<string> {
  const isIpam = isIpamCall(call.conf);
  switch (command) {
    case "ADD": {
      const unknown = unknownArgs(call.environment);
      if (unknown.length > 0) host.log(`CNI_ARGS: ignoring unknown ${unknown.join(", ")}`);
      return isIpam ? await ipamAdd(call, host) : await add(call, host);
    }
    case "DEL":
      await del(call, host);
      return "";
    case "CHECK":
      await (isIpam ? ipamCheck(call, host) : check(call, host));
      return "";
    case "GC":
      await gc(call, host);
      return "";
    case "STATUS":
      await status(call, host, isIpam);
      return "";
    case "VERSION":
      return formatVersions(call.conf.cniVersion);
  }
}

/** Verbs that came later than the version the configuration speaks. Throws code 1, as skel.go does. */
function refuseOldVersion(command: Command, { cniVersion }: NetConf): void {
  const since = command === "CHECK" ? "0.4.0" : command === "GC" || command === "STATUS" ? "1.1.0" : null;
  if (since === null || isAtLeast(cniVersion, since)) return;
  throw new CniError(
    CNI_CODE.incompatibleVersion,
    `config version does not allow ${command}`,
    `cniVersion=${cniVersion}, wanted ${since} or later`,
  );
}

/** Before anything else: acting in our own namespace would take the host's links down (plugins#714). */
export function refuseOwnNamespace({ netns, command }: Environment, variables: Variables, host: Host): void {
  const override = variables.CNI_NETNS_OVERRIDE?.toUpperCase();
  if (netns === "" || override === "1" || override === "TRUE") return;
  const refuse = (message: string, details: string): never => {
    throw new CniError(CNI_CODE.invalidNetns, message, details);
  };
  const theirs = host.namespaceId(netns);
  if (theirs !== null && theirs === host.namespaceId("/proc/self/ns/net")) {
    refuse(
      "plugin's netns and netns from CNI_NETNS should not be the same",
      `CNI_NETNS=${netns} is the namespace this plugin runs in`,
    );
  }
  if (command === "DEL") return;
  if (theirs === null) {
    refuse(`CNI_NETNS=${netns} does not exist`, "wanted: the path of the sandbox's network namespace");
  }
  // The path stands in a line for `ip -batch`, where a blank would end it.
  if (!isBatchSafe(netns)) {
    throw new CniError(
      CNI_CODE.invalidEnvironment,
      "CNI_NETNS has characters that this plugin can't use",
      `CNI_NETNS=${netns}`,
    );
  }
  if (!host.isNetns(netns)) {
    refuse(
      `CNI_NETNS=${netns} is not a network namespace`,
      "wanted: a network namespace, found another file",
    );
  }
}
