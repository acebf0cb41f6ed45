import * as v from "valibot";
import { DEFAULT_STATE_DIR, OWN_TYPE } from "../../../cni/config.ts";
import { HostError } from "../../../host/errors.ts";
import { createHost } from "../../../host/linux.ts";
import type { Host } from "../../../host/machine.ts";
import { makeTemporaryFolder, removeFolder } from "../../../host/temporary-folder.ts";
import { HOST, type Operation, type Step } from "../../../plan/step.ts";
import { formatConflist, OWN_NETWORK } from "../../../topology/conflist.ts";
import { findNode, nodePath } from "../../node.ts";
import { type ProbeNetwork, stateDirOf } from "../probe-network.ts";
import { type TraceReport, TraceReportSchema } from "./report.ts";

/** Of a node that nothing is published for. */
const POD_CIDR = "10.244.0.0/24";
/** One run takes less than a second. */
const RUN_TIMEOUT_MS = 120_000;

/** What is simulated. */
export interface Simulation {
  /** Null: that of a node whose agent is at its defaults. */
  readonly network: ProbeNetwork | null;
  readonly count: number;
  readonly isEach: boolean;
}

/**
 * Traces in a namespace that stands for the node, with another one for the sandbox, by a process of its own: this node's
 * links, rules and stores are not touched. All of it goes, whatever happens.
 */
export async function simulate(
  { network, count, isEach }: Simulation,
  self: readonly string[],
  host: Host,
): Promise<TraceReport> {
  const folder = makeTemporaryFolder("minicni-trace-");
  const mark = folder.slice(folder.lastIndexOf("/") + 1);
  const names = [`${mark}-node`, `${mark}-pod`];
  const [node, pod] = names.map((name) => `/run/netns/${name}`);
  try {
    await host.execute(names.map((name) => describe({ op: "netns.add", name })));
    const config = `${folder}/network.conf`;
    host.writeFile(config, JSON.stringify(describeNetwork(network, folder)));
    host.writeFile(nodePath(`${folder}/state`), describeNode(network, host));
    const options = ["--config", config, "--sandbox", pod ?? "", "--count", String(count), "--json"];
    const { exitCode, stdout, stderr } = await host.spawn({
      argv: [...self, "trace", ...options, ...(isEach ? ["--each"] : [])],
      netns: node ?? "",
      timeoutMs: RUN_TIMEOUT_MS + 1_000 * count,
    });
    if (exitCode !== 0 && exitCode !== 1) {
      const told = stderr.trim().replace(/^minicni: /, "");
      throw new HostError(`the simulation failed: ${told || `exit ${exitCode}`}`, "see what it said");
    }
    const report = v.parse(TraceReportSchema, JSON.parse(stdout));
    const from = network === null ? "the defaults" : network.file;
    return { ...report, isSimulated: true, config: from, others: [...(network?.others ?? [])] };
  } finally {
    const cleaner = createHost();
    const left = names.filter((name) => cleaner.observeFile(`/run/netns/${name}`) !== null);
    await cleaner.executeEach(left.map((name) => describe({ op: "netns.del", name })));
    removeFolder(folder);
  }
}

/** The network's own settings, with its state and its addresses in the folder. */
function describeNetwork(network: ProbeNetwork | null, folder: string): object {
  const conf = network?.conf ?? readDefault();
  const { ipam } = conf;
  const dataDir = `${folder}/networks`;
  // Another plugin would take addresses of the node's own pool.
  const isOwn = isObject(ipam) && isOwnIpam(ipam);
  return {
    ...conf,
    stateDir: `${folder}/state`,
    dataDir,
    ipam: isOwn ? { ...ipam, dataDir } : undefined,
  };
}

/** As its agent would write it; runtimes speak the newest version of it. */
function readDefault(): Readonly<Record<string, unknown>> {
  const list: unknown = JSON.parse(formatConflist(DEFAULT_STATE_DIR));
  const plugins: unknown = Object(list).plugins;
  const plugin: unknown = Array.isArray(plugins) ? plugins[0] : {};
  return { ...Object(plugin), cniVersion: "1.1.0", name: OWN_NETWORK };
}

function isOwnIpam(ipam: Readonly<Record<string, unknown>>): boolean {
  const type = ipam.type ?? OWN_TYPE;
  return type === OWN_TYPE || type === "" || (type === "host-local" && ipam.delegate !== true);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** What this node's agent published, else one pod CIDR; ready or not, since nobody waits for an agent here. */
function describeNode(network: ProbeNetwork | null, host: Host): string {
  const found = findNode(network === null ? DEFAULT_STATE_DIR : stateDirOf(network), host);
  const isPublished = found !== null && found.podCidrs.length > 0;
  const published: unknown = isPublished ? JSON.parse(host.readFile(found.path) ?? "{}") : {};
  const podCidrs = isPublished ? found.podCidrs : [POD_CIDR];
  return JSON.stringify({ ...Object(published), podCidrs, bootId: host.bootId(), ready: true });
}

function describe(operation: Operation): Step {
  return { ...operation, netns: HOST, why: "a node of its own, for the simulation" };
}
