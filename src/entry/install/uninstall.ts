import { BusyError, messageOf } from "../../host/errors.ts";
import type { Host, StepFailure } from "../../host/machine.ts";
import { formatPlan, formatStep } from "../../plan/format.ts";
import type { Plan } from "../../plan/step.ts";
import { attachmentLock } from "../call.ts";
import { agentLock } from "../node.ts";
import { isFolder } from "../read.ts";
import { tellFailure } from "./failure.ts";
import { createUninstallCommand, parse, type UninstallSettings } from "./options.ts";
import { observeRemains, type Remains } from "./remains.ts";

/** The whole of it: looking, waiting for calls of the plugin, and every step. */
const LIMIT_MS = 300_000;
/** What a killed agent's last child may still hold the lock for. */
const LOCK_TIMEOUT_MS = 3_000;
/** Of somebody who sees nothing happen. */
const PATIENCE_MS = 2_000;

type Print = (text: string) => void;

/**
 * `minicni uninstall`. Returns the exit code: 0 done or nothing to do; 1 refused, or something is left; 2 misused; 3: a
 * dry run found something to remove.
 */
export async function runUninstall(args: readonly string[], host: Host, print: Print): Promise<number> {
  const settings = await parse<UninstallSettings>(createUninstallCommand(), args, host, {
    print,
    width: null,
  });
  if (typeof settings === "number") return settings;
  host.deadline.restart(LIMIT_MS);
  try {
    return settings.dryRun ? await preview(settings, host, print) : await uninstall(settings, host, print);
  } catch (error) {
    return tellFailure("uninstall", error, host);
  }
}

async function preview(settings: UninstallSettings, host: Host, print: Print): Promise<number> {
  const remains = await observeRemains(host, settings);
  if (await isInUse(settings, host)) host.log(`would refuse: ${describeUse(settings)}`);
  tell(remains, host);
  tellObstacles(remains, settings, "would refuse", host);
  const whole = wholeOf(remains);
  print(formatPlan(whole));
  if (whole.length > 0) return 3;
  return remains.faults.length > 0 ? 1 : 0;
}

async function uninstall(settings: UninstallSettings, host: Host, print: Print): Promise<number> {
  const work = () => withoutCalls(settings, host, () => remove(settings, host, print));
  const lock = agentLock(settings.stateDir);
  // Nobody made it, nobody holds it; a lock of ours would make the folder anew.
  if (!host.isFile(lock)) return work();
  let isBegun = false;
  try {
    return await host.withLock(lock, LOCK_TIMEOUT_MS, () => {
      isBegun = true;
      return work();
    });
  } catch (error) {
    if (isBegun || !(error instanceof BusyError)) throw error;
    // Another uninstall has come to its end.
    if (!host.isFile(lock)) return uninstall(settings, host, print);
    // Not even by force: an agent makes all of it again.
    host.log(`uninstall: refused: ${describeUse(settings)}`);
    return 1;
  }
}

function describeUse(settings: UninstallSettings): string {
  return (
    `an agent, or another uninstall, runs on this node (it holds ${agentLock(settings.stateDir)}); ` +
    "delete the DaemonSet first: kubectl delete -f k8s/minicni.yaml"
  );
}

async function isInUse(settings: UninstallSettings, host: Host): Promise<boolean> {
  const lock = agentLock(settings.stateDir);
  if (!host.isFile(lock)) return false;
  try {
    return await host.withLock(lock, 0, () => false);
  } catch (error) {
    if (error instanceof BusyError) return true;
    host.log(`warning: whether an agent runs can't be seen: ${messageOf(error)}`);
    return false;
  }
}

/** No ADD or DEL is under way meanwhile; those that come wait, and then find their lock gone. */
async function withoutCalls(
  settings: UninstallSettings,
  host: Host,
  work: () => Promise<number>,
): Promise<number> {
  const lock = attachmentLock(settings);
  if (!host.isFile(lock)) return work();
  const patience = setTimeout(
    () => host.log(`waiting for calls of the plugin that hold ${lock}: see fuser ${lock}`),
    PATIENCE_MS,
  );
  const begin = () => {
    clearTimeout(patience);
    return work();
  };
  try {
    return await host.withAttachmentLock(lock, null, begin, { isOptional: true });
  } finally {
    clearTimeout(patience);
  }
}

async function remove(settings: UninstallSettings, host: Host, print: Print): Promise<number> {
  const remains = await observeRemains(host, settings);
  const { obstacles, faults, conflist, plan } = remains;
  tellObstacles(remains, settings, "uninstall: refused", host);
  if (obstacles.length > 0 && !settings.force) return 1;
  tell(remains, host);
  const whole = wholeOf(remains);
  print(formatPlan(whole));
  if (whole.length > 0) {
    host.log(
      "net.ipv4.ip_forward and net.ipv6.conf.all.forwarding stay as they are: others may rely on them",
    );
  }
  // While runtimes call the plugin the rest has to be there.
  const first = await host.executeEach(conflist);
  if (first.length > 0) return giveUp(first, conflist, host);
  const failures = await host.executeEach(plan);
  forget(remains, host);
  const mayEnd = faults.length === 0 || settings.force;
  return await whileNobodyInstalls(settings, host, () => finish(settings, failures, mayEnd, host));
}

/** Two installers and an uninstall take turns; a folder that is not there has nothing in it. */
async function whileNobodyInstalls(
  { binDir }: UninstallSettings,
  host: Host,
  work: () => Promise<number>,
): Promise<number> {
  return isFolder(binDir, host) ? await host.withLock(binDir, LOCK_TIMEOUT_MS, work) : await work();
}

/** The programs, and then the locks, which keep an agent and calls out until here; but for `mayEnd` only what is left is told. */
async function finish(
  settings: UninstallSettings,
  failures: readonly StepFailure[],
  mayEnd: boolean,
  host: Host,
): Promise<number> {
  // What went by itself (a pod's link, with its namespace) is as good as removed; what came meanwhile is left.
  const { conflist, plan, programs, locks } = await observeRemains(host, settings);
  if (conflist.length + plan.length > 0) return giveUp(failures, [...conflist, ...plan], host);
  if (!mayEnd) {
    host.log(
      `to do: see what may be left; ${settings.binDir} stays as it is until all else is gone; --force removes it all the same`,
    );
    return 1;
  }
  const ended = await executeInOrder(programs, host);
  const unlocked = await host.executeEach(locks);
  const left = [...ended.left, ...unlocked.map(({ step }) => step)];
  return left.length === 0 ? 0 : giveUp([...ended.failures, ...unlocked], left, host);
}

/** No further than the first step that fails: a launcher that can't be removed keeps what it executes. */
async function executeInOrder(
  plan: Plan,
  host: Host,
): Promise<{ readonly failures: readonly StepFailure[]; readonly left: Plan }> {
  for (const [index, step] of plan.entries()) {
    const failures = await host.executeEach([step]);
    if (failures.length > 0) return { failures, left: plan.slice(index) };
  }
  return { failures: [], left: [] };
}

function wholeOf({ conflist, plan, programs, locks }: Remains): Plan {
  return [...conflist, ...plan, ...programs, ...locks];
}

/** `left`: what is still to be done. */
function giveUp(failures: readonly StepFailure[], left: Plan, host: Host): number {
  const leftSteps = new Set(left.map(formatStep));
  for (const { step, command, message } of failures) {
    if (leftSteps.delete(formatStep(step))) host.log(`uninstall: \`${command}\` failed: ${message}`);
  }
  for (const step of leftSteps) host.log(`uninstall: left: ${step}`);
  if (left.some(({ op }) => op.startsWith("rules.")))
    host.log("to do: see what leads to chains of minicni: iptables-save | grep MINICNI; nft list ruleset");
  host.log("to do: see why, and run uninstall again: it goes on with what is left");
  return 1;
}

function tellObstacles(
  { obstacles }: Remains,
  { force }: UninstallSettings,
  refusal: string,
  host: Host,
): void {
  for (const { reason, advice } of obstacles)
    host.log(force ? `warning: ${reason}` : `${refusal}: ${reason}; ${advice}`);
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
