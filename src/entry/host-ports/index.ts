import { CNI_CODE, CniError } from "../../cni/errors.ts";
import { ExecuteError, HostError, messageOf, OverdueError } from "../../host/errors.ts";
import {
  hasLedger,
  hostPortsFolder,
  type KeptClaim,
  keepStaleTargets,
  portRulesLock,
  staleTargets,
} from "../../host/host-port-claims.ts";
import type { Host } from "../../host/machine.ts";
import type { AttachmentKey } from "../../ipam/reservation.ts";
import { type Address, formatAddress } from "../../net/address.ts";
import { isOfFamily } from "../../net/host-port.ts";
import type { Plan } from "../../plan/step.ts";
import { withClaim } from "./claim.ts";
import { changeLedger, currentLedger, isOf, localnetStep, shutLocalnets, withoutDead } from "./ledger.ts";
import { planSettle, type SettleReport, settle } from "./settle.ts";

export { type AskedPorts, claimPorts, describeClaim, readAskedPorts } from "./claim.ts";

/** Calls of this process that wait for the rules of a node, by its state folder. */
interface Queue {
  /** The run that has not begun yet: it will see whatever is claimed by now. */
  next: Promise<SettleReport> | null;
  last: Promise<unknown>;
}
const RULES_TIMEOUT_MS = 30_000;
const queues = new Map<string, Queue>();

/**
 * {@link settle}, one run for all who ask meanwhile: of a hundred pods that go at once, each would wait for a deletion of
 * its own.
 */
async function settleTogether(stateDir: string, host: Host): Promise<void> {
  const queue: Queue = queues.get(stateDir) ?? { next: null, last: Promise.resolve() };
  queues.set(stateDir, queue);
  const isLeader = queue.next === null;
  if (queue.next === null) {
    const before = queue.last;
    const run = (async () => {
      await before.catch(() => undefined);
      queue.next = null;
      return await settle(stateDir, host);
    })();
    queue.next = run;
    queue.last = run;
  }
  try {
    await queue.next;
  } catch (error) {
    // Its time is not ours.
    if (isLeader || !(error instanceof OverdueError)) throw error;
    await settle(stateDir, host);
  }
}

/** What a tool says when somebody else has had the lock of x_tables for all the time that it may wait (-w). */
const IS_LOCKED = /xtables lock|Resource temporarily unavailable|no answer in time/;

async function makeRules(stateDir: string, host: Host): Promise<void> {
  try {
    await settleTogether(stateDir, host);
  } catch (error) {
    throw explain(error);
  }
  forgetStale(stateDir, host);
}

/** Behind a run no rule leads to a pod that is gone. */
function forgetStale(stateDir: string, host: Host): void {
  if (staleTargets(host, stateDir).length > 0) keepStaleTargets(host, stateDir, []);
}

/** Who holds the lock of iptables will let it go. */
function explain(error: unknown): unknown {
  if (!(error instanceof HostError)) return error;
  // One that only looks waits for the lock as well, and says so in its message.
  const [said, command] =
    error instanceof ExecuteError
      ? [error.stderr, error.command.split("\n")[0]]
      : [error.message, error.hint];
  if (!IS_LOCKED.test(said)) return error;
  return new CniError(
    CNI_CODE.tryAgainLater,
    `host ports: another program holds the lock of iptables: ${said}`,
    `${command}; see who: \`fuser /run/xtables.lock\``,
  );
}

/**
 * Before addresses are used: rules of a pod that is gone, and that could not be removed, must not lead to its next owner.
 * Throws only where they lead to one of these.
 */
export async function finishPorts(
  addresses: readonly Address[],
  stateDir: string,
  host: Host,
): Promise<void> {
  const stale = staleTargets(host, stateDir);
  try {
    await makeRules(stateDir, host);
  } catch (error) {
    if (addresses.some((address) => stale.includes(formatAddress(address)))) throw error;
    host.log(`rules of host ports lead to pods that are gone, still: ${messageOf(error)}`);
  }
}

/** Step of an attachment whose ports programs of the node reach at 127.0.0.1; empty for any other. */
export function localhostSteps({ options, bridge }: KeptClaim): Plan {
  return options.localhost ? [localnetStep(bridge, true)] : [];
}

/** Makes claimed ports lead to their pod: rules first, then what was tracked before them goes. */
export async function openPorts(claim: KeptClaim, stateDir: string, host: Host): Promise<void> {
  await makeRules(stateDir, host);
  // Behind the rule that keeps pods out of 127.0.0.0/8.
  const steps = localhostSteps(claim);
  if (steps.length > 0) await host.execute(steps);
  forgetOldFlows(claim, stateDir, host);
}

/** Where the process lives on, one walk through the kernel's table serves all pods that come together. */
function forgetOldFlows(claim: KeptClaim, stateDir: string, host: Host): void {
  if (host.trackedConnections() === 0) return;
  if (host.defer === undefined) {
    flush([claim], host);
    return;
  }
  const waiting = unflushed.get(stateDir) ?? [];
  unflushed.set(stateDir, [...waiting, claim]);
  if (waiting.length > 0) return;
  setTimeout(() => {
    const claims = unflushed.get(stateDir) ?? [];
    unflushed.delete(stateDir);
    try {
      flush(claims, host);
    } catch (error) {
      host.log(`could not flush connections to host ports: ${messageOf(error)}`);
    }
  }, FLUSH_DELAY_MS);
}

/** Milliseconds: a walk holds the thread for 10, so that a burst of pods must not have one each. */
const FLUSH_DELAY_MS = 250;
const unflushed = new Map<string, KeptClaim[]>();

function flush(claims: readonly KeptClaim[], host: Host): void {
  const targets = claims.flatMap(({ ports, targets: pods }) =>
    ports.flatMap((port) =>
      pods.flatMap(({ address }) => (isOfFamily(port, address.family) ? [{ port, address }] : [])),
    ),
  );
  host.flushPortFlows(targets, host.ownAddresses());
}

/** Takes the ports of attachments away, books and rules; those that have none count as done. */
export async function closePorts(
  keys: readonly AttachmentKey[],
  stateDir: string,
  host: Host,
): Promise<void> {
  const targets: string[] = [];
  await changeLedger(stateDir, host, (ledger) => {
    const [gone, claims] = split(ledger.claims, (claim) => keys.some((key) => isOf(claim, key)));
    targets.push(...gone.flatMap((claim) => claim.targets.map(({ address }) => formatAddress(address))));
    return gone.length === 0 ? null : { ...ledger, claims };
  });
  try {
    await makeRules(stateDir, host);
  } catch (error) {
    if (targets.length > 0) tellStale(targets, stateDir, host);
    throw error;
  }
}

function split<T>(all: readonly T[], isFirst: (one: T) => boolean): [T[], T[]] {
  return [all.filter(isFirst), all.filter((one) => !isFirst(one))];
}

function tellStale(targets: readonly string[], stateDir: string, host: Host): void {
  try {
    keepStaleTargets(host, stateDir, [...new Set([...staleTargets(host, stateDir), ...targets])]);
  } catch (error) {
    host.log(`rules of host ports may be left, and it can't be written down: ${messageOf(error)}`);
  }
}

/** What would be run for these ports; refuses what {@link claimPorts} would. */
export async function planPorts(claim: KeptClaim, stateDir: string, host: Host): Promise<Plan> {
  const ledger = withClaim(currentLedger(stateDir, host), claim, stateDir, host);
  const { plan } = await planSettle(ledger, host);
  return [...plan, ...localhostSteps(claim)];
}

/** Brings rules to what the claims of live attachments say, for who looks after a node. */
export async function repairPorts(stateDir: string, host: Host): Promise<SettleReport> {
  if (!hasLedger(host, stateDir)) return { plan: [], changed: [] };
  await changeLedger(stateDir, host, (ledger) => withoutDead(ledger, stateDir, host));
  const report = await settle(stateDir, host);
  forgetStale(stateDir, host);
  const shut = shutLocalnets(currentLedger(stateDir, host).claims, host);
  if (shut.length === 0) return report;
  const steps = shut.map((bridge) => localnetStep(bridge, true));
  await host.execute(steps);
  return { plan: [...report.plan, ...steps], changed: [...report.changed, ...shut.map(describeShut)] };
}

function describeShut(bridge: string): string {
  return `route_localnet of ${bridge}`;
}

/** Rules of an attachment's ports that are not as they were made, for CHECK. */
export async function portRuleFaults(key: AttachmentKey, stateDir: string, host: Host): Promise<string[]> {
  const own = currentLedger(stateDir, host).claims.filter((claim) => isOf(claim, key));
  if (own.length === 0) {
    return [
      `${hostPortsFolder(stateDir)}/claims.json lacks the host ports of ${key.containerId} ${key.ifname}`,
    ];
  }
  // Not while a call is about to change them.
  const { changed } = await host.withLock(portRulesLock(stateDir), RULES_TIMEOUT_MS, () =>
    planSettle(currentLedger(stateDir, host), host),
  );
  const shut = shutLocalnets(own, host).map(describeShut);
  return [...changed, ...shut].map((what) => `rules of host ports are not as they were made: ${what}`);
}
