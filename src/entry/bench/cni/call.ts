import { readFileSync } from "node:fs";
import { HostError } from "../../../host/errors.ts";
import type { Finished } from "../../../host/machine.ts";
import { spawnMeasured } from "../../../host/spawn.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import type { Context } from "../context.ts";
import { CNI_VERSION, type Json, type Link, POD_INTERFACE } from "./plugins.ts";

/** What a pod is to a plugin. */
export interface Pod {
  readonly containerId: string;
  readonly netns: NetnsPath;
}

/** What a call took, or all calls of a chain together; memory only where it was asked for. */
export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Most resident memory of any one process, in MiB. */
  readonly peakMiB: number | null;
}

/** Where a program is started: the node's namespace, the folder of its plugins. */
export interface Place {
  readonly netns: NetnsPath;
  readonly folder: string;
  /** GNU time and a file for what it says, for a call whose memory is measured. */
  readonly meter: { readonly program: string; readonly file: string } | null;
}

const CALL_TIMEOUT_MS = 120_000;

/**
 * Runs a program and tells what it took. Throws HostError with what it said when it fails.
 *
 * Memory can't be had from wait4(2): the kernel counts there what the process had before its execve, which is our own
 * memory (setmax_mm_hiwater_rss in exec_mmap of fs/exec.c). GNU time, a small program, forks once more in between.
 */
export async function measureProgram(
  context: Pick<Context, "host">,
  argv: readonly string[],
  options: { readonly stdin: string; readonly env: Readonly<Record<string, string>> },
  { netns, meter }: Omit<Place, "folder">,
): Promise<{ readonly stdout: string; readonly cost: Cost }> {
  const wrapped = meter === null ? argv : [meter.program, "-f", "%M", "-o", meter.file, ...argv];
  const { finished, usage } = await spawnMeasured(
    { argv: wrapped, ...options, netns, timeoutMs: CALL_TIMEOUT_MS },
    context.host.deadline,
  );
  if (finished.exitCode !== 0) throw failed(argv, finished);
  const peakMiB = meter === null ? null : Number(readFileSync(meter.file, "utf8").trim()) / 1024;
  return { stdout: finished.stdout, cost: { ...usage, peakMiB } };
}

function failed(argv: readonly string[], { exitCode, stdout, stderr }: Finished): HostError {
  const said = `${stdout.trim()} ${stderr.trim()}`.trim();
  return new HostError(`\`${argv.join(" ")}\` ended with ${exitCode}: ${said}`, "see what it said");
}

/** ADD of a whole chain, each plugin with the result of the one before it; that result, for the DEL, and the cost. */
export async function addPod(
  context: Pick<Context, "host">,
  chain: readonly Link[],
  pod: Pod,
  place: Place,
): Promise<{ readonly result: Json; readonly cost: Cost }> {
  let prevResult: Json | null = null;
  const costs: Cost[] = [];
  for (const link of chain) {
    const conf = prevResult === null ? link.conf : { ...link.conf, prevResult };
    const { stdout, cost } = await call(context, "ADD", { ...link, conf }, pod, place);
    prevResult = readResult(stdout);
    costs.push(cost);
  }
  return { result: prevResult ?? {}, cost: sum(costs) };
}

/** DEL of a whole chain, in reverse, with the last result, as libcni does. */
export async function deletePod(
  context: Pick<Context, "host">,
  chain: readonly Link[],
  pod: Pod,
  prevResult: Json,
  place: Place,
): Promise<Cost> {
  const costs: Cost[] = [];
  for (const link of [...chain].reverse()) {
    const conf = { ...link.conf, prevResult };
    const { cost } = await call(context, "DEL", { ...link, conf }, pod, place);
    costs.push(cost);
  }
  return sum(costs);
}

async function call(
  context: Pick<Context, "host">,
  command: "ADD" | "DEL",
  { argv, conf, env: more = {} }: Link,
  { containerId, netns }: Pod,
  place: Place,
): Promise<{ readonly stdout: string; readonly cost: Cost }> {
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: POD_INTERFACE,
    CNI_PATH: place.folder,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${containerId}`,
    ...more,
  };
  return await measureProgram(context, argv, { stdin: JSON.stringify(conf), env }, place);
}

function readResult(stdout: string): Json {
  const result: unknown = JSON.parse(stdout);
  if (typeof result !== "object" || result === null || !("ips" in result)) {
    throw new HostError(`a plugin's result has no addresses: ${stdout}`, `is it one of ${CNI_VERSION}?`);
  }
  return { ...result };
}

function sum(costs: readonly Cost[]): Cost {
  const peaks = costs.flatMap(({ peakMiB }) => peakMiB ?? []);
  return {
    wallMs: costs.reduce((total, { wallMs }) => total + wallMs, 0),
    cpuMs: costs.reduce((total, { cpuMs }) => total + cpuMs, 0),
    peakMiB: peaks.length === 0 ? null : Math.max(...peaks),
  };
}
