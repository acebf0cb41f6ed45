import { DEFAULT_BRIDGE } from "../../cni/config.ts";
import { createDeadline } from "../../host/deadline.ts";
import { BusyError, messageOf } from "../../host/errors.ts";
import { createHost } from "../../host/linux.ts";
import type { Host } from "../../host/machine.ts";
import { printError } from "../../host/stdout.ts";
import { agentLock } from "../node.ts";
import { VERSION } from "../version.ts";
import { createBridgeRepair } from "./bridge.ts";
import { openCalls } from "./calls.ts";
import { createCondition } from "./condition.ts";
import { watchForwardBlocks } from "./forward-blocks.ts";
import { createHealth } from "./health.ts";
import { createJournal, type Journal } from "./journal.ts";
import { openLeaks } from "./leak-loop.ts";
import { openPages } from "./listen.ts";
import { runLoop, runOnce } from "./loop.ts";
import { createMetrics } from "./metrics.ts";
import { openMonitor } from "./monitor.ts";
import { createNetwork } from "./network.ts";
import { openNodes } from "./nodes.ts";
import { createOffloadProbe } from "./offload.ts";
import { openPage } from "./page/open.ts";
import { createPass } from "./pass.ts";
import { openPorts } from "./port-loop.ts";
import { createPublisher } from "./publish.ts";
import { createReporter } from "./reporter.ts";
import { createRules } from "./rules.ts";
import { samplePods } from "./sample-pods.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";
import { createWakeups } from "./wakeups.ts";

/** A source says at least every 10 s that it lives. */
const NODES_BUDGET_MS = 60_000;
/** The monitor is started again after at most 30 s. */
const MONITOR_BUDGET_MS = 120_000;
/** What a killed agent's last child may still hold the lock for. */
const LOCK_TIMEOUT_MS = 3_000;

/** For the bridge's lock and the repair. */
const BRIDGE_MS = 5_000;

const now = () => performance.now();

/** The machine for so many milliseconds; what it says goes into the journal. */
function openHost(limitMs: number, { executor }: AgentSettings, journal: Journal): Host {
  const host = withJournal(createHost(createDeadline(limitMs)), journal);
  host.useExecutor(executor);
  return host;
}

const told = new Set<string>();
const MOST_TOLD = 1_000;

/** Lines of what the agent shares with the plugin: each is told once, in the agent's own form. */
function withJournal(host: Host, journal: Journal): Host {
  const log = (line: string) => {
    if (told.has(line)) return;
    if (told.size >= MOST_TOLD) told.clear();
    told.add(line);
    journal.warn("notice", { message: line });
  };
  return { ...host, log };
}

/**
 * Runs the agent until SIGTERM or SIGINT; kernel state, node.json and the conflist stay as they are. Returns the exit
 * code: 0 well; 1 failed, or another agent runs on this node; 3: a dry run found something to change.
 */
export async function runAgent(
  settings: AgentSettings,
  machine: Host,
  print: (text: string) => void,
): Promise<number> {
  const { logFormat: format, stateDir, dryRun } = settings;
  const journal = openJournal(format, dryRun);
  const host = withJournal(machine, journal);
  host.useExecutor(settings.executor);
  const lock = agentLock(stateDir);
  let isServing = false;
  const serve = () => {
    isServing = true;
    return settings.once ? serveOnce(settings, host, journal, print) : serveOn(settings, host, journal);
  };
  try {
    return dryRun ? await serve() : await host.withLock(lock, LOCK_TIMEOUT_MS, serve);
  } catch (error) {
    if (isServing) throw error;
    if (!(error instanceof BusyError)) {
      // A full or read-only disk: a node without an agent is worse than one where nobody keeps a second one out.
      journal.warn("no lock", {
        fault: messageOf(error),
        hint: "nothing keeps a second agent from starting",
      });
      return await serve();
    }
    journal.warn("refused", {
      fault: `another minicni agent runs on this node: it holds ${lock}`,
      hint: "stop it first; the agents of two virtual nodes need a --state-dir each",
    });
    return 1;
  }
}

/** A dry run tells what is wrong; what would be changed is on stdout. */
function openJournal(format: AgentSettings["logFormat"], isDryRun: boolean): Journal {
  const journal = createJournal({ format, sink: printError, now: () => new Date(), elapsed: now });
  return isDryRun ? { ...journal, info: () => undefined } : journal;
}

/** All that a pass needs, and what both ways of running share. */
async function assemble(settings: AgentSettings, host: Host, journal: Journal) {
  const health = createHealth(now);
  const openFiles = () => host.listFolder("/proc/self/fd").length;
  const unheard = await createMetrics({ version: VERSION, now, openFiles });
  const clocks = { now, date: () => new Date() };
  const reporter = settings.once
    ? null
    : createReporter(settings, {
        ...{ host, journal, health, pid: process.pid },
        pods: () => samplePods(host, settings.stateDir),
        ...clocks,
      });
  const metrics = reporter?.hear(unheard) ?? unheard;
  const voices = { journal, health, metrics };
  const publisher = createPublisher(host, settings, now);
  const { backend, dryRun } = settings;
  const network = createNetwork(
    { backend, dryRun, tunnel: { vni: settings.vni, port: settings.vxlanPort } },
    host,
    now,
  );
  const offload = settings.once ? null : createOffloadProbe({ host, journal, metrics, now });
  const rules = watchForwardBlocks(createRules(host, now), host, now);
  // A look of its own each time, in bounded time: it may wait for calls of the plugin.
  const bridge = { pass: () => createBridgeRepair(openHost(BRIDGE_MS, settings, journal), settings).pass() };
  const pass = createPass(settings, {
    ...{ host, network, rules, bridge, offload, publisher, ...voices },
    ...(reporter === null ? {} : { report: reporter }),
  });
  const wakeups = createWakeups();
  const heartbeat = health.loop("nodes", NODES_BUDGET_MS);
  const nodes = openNodes(settings, { journal, metrics, publisher, heartbeat }, () => wakeups.wake("nodes"));
  const stop = (signal: string) => {
    journal.info("stopping", { signal });
    wakeups.close();
    host.deadline.interrupt(signal);
  };
  const listeners = (["SIGTERM", "SIGINT"] as const).map((signal) => {
    const listener = () => stop(signal);
    process.on(signal, listener);
    return { signal, listener };
  });
  const close = () => {
    for (const { signal, listener } of listeners) process.off(signal, listener);
    offload?.close();
    reporter?.close();
    nodes.close();
  };
  return { ...voices, voices, reporter, publisher, network, pass, wakeups, nodes, close };
}

async function serveOnce(
  settings: AgentSettings,
  host: Host,
  journal: Journal,
  print: (text: string) => void,
): Promise<number> {
  const { pass, nodes, wakeups, close } = await assemble(settings, host, journal);
  try {
    return await runOnce(settings, pass, nodes, wakeups, print);
  } finally {
    close();
  }
}

/** Without it pods get their network all the same, from the binary alone. */
function openCallsOrTell(settings: AgentSettings, { journal, metrics }: Voices) {
  try {
    return openCalls(settings, {
      served: metrics.call,
      log: (message) => journal.info("call", { message }),
    });
  } catch (error) {
    const hint = "pods are attached by the binary alone, slower: see the fault";
    journal.warn("calls are not served", { fault: messageOf(error), hint });
    return null;
  }
}

async function serveOn(settings: AgentSettings, host: Host, journal: Journal): Promise<number> {
  const assembled = await assemble(settings, host, journal);
  const { voices, reporter, health, metrics, publisher, network, pass, wakeups, nodes, close } = assembled;
  const { node, backend, nodesFile, kubeconfig } = settings;
  const source = nodesFile ?? kubeconfig ?? "the API by the pod's ServiceAccount";
  journal.info("started", { version: VERSION, node, backend, nodes: source });
  reporter?.look(nodes.now());
  const pages = openPages(settings.listen, voices, reporter);
  const openLook = (limitMs: number) => openHost(limitMs, settings, journal);
  const page = reporter && openPage(settings, { reporter, journal, openHost: openLook, now });
  const heartbeat = health.loop("monitor", MONITOR_BUDGET_MS + settings.resyncPeriodMs);
  const monitor = openMonitor(
    { host, journal, heartbeat },
    DEFAULT_BRIDGE,
    (what) => wakeups.wake(what),
    () => network.forgetLookups(),
  );
  const leaks = openLeaks(settings, (limitMs) => openHost(limitMs, settings, journal), voices, now);
  const ports = openPorts(settings, (limitMs) => openHost(limitMs, settings, journal), voices);
  const condition = createCondition(settings, nodes, voices, now);
  const calls = openCallsOrTell(settings, voices);
  const tick = () => {
    monitor.beat();
    const { snapshot, isLive } = nodes.now();
    if (snapshot !== null && isLive) journal.state("remember", publisher.remember(snapshot.nodes).fault);
    condition.look();
    pages.retry();
    page?.retry();
    for (const [name, holds] of health.conditions()) metrics.ready(name, holds);
    reporter?.look(nodes.now());
  };
  try {
    await runLoop(settings, pass, nodes, wakeups, voices, tick, monitor.isOpen);
    reporter?.stop();
    journal.info("stopped");
    return 0;
  } finally {
    await calls?.close();
    leaks.close();
    ports.close();
    monitor.close();
    pages.close();
    page?.close();
    close();
  }
}
