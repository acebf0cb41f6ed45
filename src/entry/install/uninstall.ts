import { BusyError, HostError, messageOf } from "../../host/errors.ts";
import type { Host, StepFailure } from "../../host/machine.ts";
import { formatPlan } from "../../plan/format.ts";
import type { Plan } from "../../plan/step.ts";
import { parseUninstall, type UninstallSettings } from "./options.ts";
import { observeRemains, type Remains } from "./remains.ts";

/** The whole of it: looking, waiting for calls of the plugin, and every step. */
const LIMIT_MS = 300_000;
/** What a killed agent's last child may still hold the lock for. */
const LOCK_TIMEOUT_MS = 3_000;
/** Pods that are named; a node has at most some hundred. */
const MOST_NAMED = 10;

type Print = (text: string) => void;

/**
 * `minicni uninstall`. Returns the exit code: 0 done or nothing to do; 1 refused, or something is left; 2 misused; 3: a
 * dry run found something to remove.
 */
export async function runUninstall(args: readonly string[], host: Host, print: Print): Promise<number> {
  const settings = await parseUninstall(args, host, print);
  if (typeof settings === "number") return settings;
  host.deadline.restart(LIMIT_MS);
  try {
    return settings.dryRun ? await preview(settings, host, print) : await uninstall(settings, host, print);
  } catch (error) {
    host.log(`uninstall: ${messageOf(error)}`);
    if (error instanceof HostError) host.log(`to do: ${error.hint}`);
    return 1;
  }
}

async function preview(settings: UninstallSettings, host: Host, print: Print): Promise<number> {
  const remains = await observeRemains(host, settings);
  const isRunning = await isAgentRunning(settings, host);
  tell(remains, host);
  for (const { reason, advice } of refusals(remains, isRunning, settings)) {
    host.log(settings.force ? `warning: ${reason}` : `would refuse: ${reason}; ${advice}`);
  }
  const whole = wholeOf(remains);
  print(formatPlan(whole));
  return whole.length === 0 ? 0 : 3;
}

async function uninstall(settings: UninstallSettings, host: Host, print: Print): Promise<number> {
  const { stateDir, force } = settings;
  const work = (isRunning: boolean) =>
    withoutCalls(settings, host, () => remove(settings, isRunning, host, print));
  const lock = agentLock(settings);
  // Nobody made it, nobody holds it; a lock of ours would make the folder anew.
  if (!host.isFile(lock)) return work(false);
  let isBegun = false;
  try {
    return await host.withLock(lock, LOCK_TIMEOUT_MS, () => {
      isBegun = true;
      return work(false);
    });
  } catch (error) {
    if (isBegun || !(error instanceof BusyError)) throw error;
    if (force) host.log(`warning: going on although an agent holds ${stateDir}/agent.lock`);
    return work(true);
  }
}

function agentLock({ stateDir }: UninstallSettings): string {
  return `${stateDir}/agent.lock`;
}

async function isAgentRunning(settings: UninstallSettings, host: Host): Promise<boolean> {
  const lock = agentLock(settings);
  if (!host.isFile(lock)) return false;
  try {
    return await host.withLock(lock, 0, () => false);
  } catch (error) {
    if (error instanceof BusyError) return true;
    host.log(`warning: whether an agent runs can't be seen: ${messageOf(error)}`);
    return false;
  }
}

/** No ADD or DEL is under way meanwhile. */
function withoutCalls(
  { stateDir }: UninstallSettings,
  host: Host,
  work: () => Promise<number>,
): Promise<number> {
  const lock = `${stateDir}/attachments.lock`;
  return host.isFile(lock) ? host.withAttachmentLock(lock, null, work, { isOptional: true }) : work();
}

async function remove(
  settings: UninstallSettings,
  isRunning: boolean,
  host: Host,
  print: Print,
): Promise<number> {
  const remains = await observeRemains(host, settings);
  const reasons = refusals(remains, isRunning, settings);
  if (reasons.length > 0 && !settings.force) {
    for (const { reason, advice } of reasons) host.log(`uninstall: refused: ${reason}; ${advice}`);
    return 1;
  }
  tell(remains, host);
  const whole = wholeOf(remains);
  print(formatPlan(whole));
  if (whole.length > 0) {
    host.log(
      "net.ipv4.ip_forward and net.ipv6.conf.all.forwarding stay as they are: others may rely on them",
    );
  }
  const failures = await host.executeEach(remains.plan);
  forget(remains, host);
  // What went by itself (a pod's link, with its namespace) is as good as removed.
  const left = failures.length === 0 ? null : await observeRemains(host, settings);
  const isLeft = left !== null && left.plan.length + left.faults.length > 0;
  if (isLeft) return giveUp(failures, host);
  if (remains.faults.length > 0) {
    host.log(`to do: see what may be left; ${settings.binDir} stays as it is until all else is gone`);
    return 1;
  }
  const last = await host.executeEach(remains.programs);
  return last.length === 0 ? 0 : giveUp(last, host);
}

function wholeOf({ plan, programs }: Remains): Plan {
  return [...plan, ...programs];
}

function giveUp(failures: readonly StepFailure[], host: Host): number {
  for (const { command, message } of failures) host.log(`uninstall: \`${command}\` failed: ${message}`);
  host.log("to do: see why, and run uninstall again: it goes on with what is left");
  return 1;
}

function tell({ notes, faults }: Remains, host: Host): void {
  for (const note of notes) host.log(`warning: ${note}`);
  for (const fault of faults) host.log(`warning: can't be looked at, and may be left: ${fault}`);
}

/** The next owner of an address must not meet its connections. */
function forget({ addresses }: Remains, host: Host): void {
  if (addresses.length === 0) return;
  try {
    host.flushConnections(addresses);
  } catch (error) {
    host.log(`warning: tracked connections of pods are left: ${messageOf(error)}`);
  }
}

function refusals({ live }: Remains, isRunning: boolean, settings: UninstallSettings) {
  const reasons: { readonly reason: string; readonly advice: string }[] = [];
  if (isRunning) {
    reasons.push({
      reason: `an agent runs on this node (it holds ${agentLock(settings)})`,
      advice: "delete the DaemonSet first: kubectl delete -f k8s/minicni.yaml",
    });
  }
  if (live.length > 0) {
    const more = live.length > MOST_NAMED ? `, and ${live.length - MOST_NAMED} more` : "";
    reasons.push({
      reason: `attached to minicni: ${live.slice(0, MOST_NAMED).join(", ")}${more}`,
      advice: "drain the node first (kubectl drain NODE --ignore-daemonsets), or cut them off by --force",
    });
  }
  return reasons;
}
