import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { spawnMeasured } from "../../../host/spawn.ts";
import { parseNodeList } from "../../../kube/nodelist.ts";
import type { ClusterNode, NodeSnapshot } from "../../../net/node.ts";
import { formatOperation } from "../../../plan/format.ts";
import { type Plan, ROUTE_PROTOCOL } from "../../../plan/step.ts";
import { createNetwork } from "../../agent/network.ts";
import { createSubject } from "./pass.ts";
import type { Programmer } from "./programmer-names.ts";

/** What it took until all routes were there, in milliseconds; processor time with that of the children. */
export interface ProgrammingReport {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly routes: number;
}

const BACKEND = "host-gw";
const TIMEOUT_MS = 120_000;

/**
 * Brings the routes to all peers of a NodeList into the namespace we are in, which must hold the first node's addresses
 * and none of the routes. `netlink`: the plan of an agent, carried out by its executor. `ip-batch`: the same plan's text,
 * written beforehand, by one `ip -batch`, from its start to its end. `pass`: the agent's whole pass, which looks, plans
 * and carries out. Throws HostError when not all of them are there afterwards.
 */
export async function programRoutes(text: string, by: Programmer, host: Host): Promise<ProgrammingReport> {
  const snapshot = parseNodeList(text);
  const [self] = snapshot.nodes;
  if (self === undefined) throw new RangeError("a benchmark needs a node");
  host.useExecutor(by === "netlink" ? "netlink" : "auto");
  // A whole pass plans by itself, with code that has not run yet.
  const routes = by === "pass" ? [] : await planOf(host, snapshot, self);
  const report = await measure(by, { snapshot, self, routes }, host);
  const wanted = snapshot.nodes.slice(1).reduce((sum, { podCidrs }) => sum + podCidrs.length, 0);
  const table = host.routeTable();
  const there = Array.from({ length: table.count }, (_, index) => table.at(index).protocol);
  const count = there.filter((protocol) => protocol === ROUTE_PROTOCOL).length;
  if (count === wanted) return { ...report, routes: count };
  throw new HostError(`${count} of ${wanted} routes are there`, "see dmesg");
}

/** The routes of an agent's first pass, which makes none of them here; what they need is brought about. */
async function planOf(host: Host, snapshot: NodeSnapshot, self: ClusterNode): Promise<Plan> {
  const settings = { backend: BACKEND, tunnel: { vni: 157, port: 8472 }, dryRun: true } as const;
  const wish = { snapshot, self, isLive: true };
  const { plan } = await createNetwork(settings, host, () => performance.now()).resync(wish);
  const isRoute = (step: Plan[number]) => step.op === "route.replace" || step.op === "route.append";
  await host.execute(plan.filter((step) => !isRoute(step)));
  return plan.filter(isRoute);
}

interface Work {
  readonly snapshot: NodeSnapshot;
  readonly self: ClusterNode;
  readonly routes: Plan;
}

async function measure(by: Programmer, { snapshot, self, routes }: Work, host: Host) {
  if (by === "ip-batch") {
    const lines = routes.map((step) => {
      const command = formatOperation(step);
      return command.tool === "ip" ? command.words.join(" ") : "";
    });
    const request = { argv: ["ip", "-batch", "-"], stdin: `${lines.join("\n")}\n`, timeoutMs: TIMEOUT_MS };
    const { finished, usage } = await spawnMeasured(request, host.deadline);
    if (finished.exitCode !== 0) throw new HostError(`ip -batch: ${finished.stderr.trim()}`, "see dmesg");
    return usage;
  }
  const subject = createSubject(host, BACKEND);
  const used = process.cpuUsage();
  const began = performance.now();
  const failures =
    by === "pass" ? (await subject.pass(snapshot, self)).failures : await host.executeEach(routes);
  const wallMs = performance.now() - began;
  const { user, system } = process.cpuUsage(used);
  if (failures.length > 0) throw new HostError(`${failures.length} routes were refused`, "see dmesg");
  return { wallMs, cpuMs: (user + system) / 1_000 };
}
