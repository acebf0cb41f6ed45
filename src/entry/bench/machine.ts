import { cpus, loadavg, release, totalmem } from "node:os";
import type { Host } from "../../host/machine.ts";
import { VERSION } from "../version.ts";
import type { Peers } from "./peers.ts";
import type { Machine } from "./results.ts";

/** Programs whose version says something about figures: how it is asked, and what in the answer it is. */
const PROGRAMS: readonly (readonly [name: string, argv: readonly string[], version: RegExp])[] = [
  ["iproute2", ["ip", "-V"], /iproute2-([^\s,]+)/],
  ["iptables", ["iptables", "-V"], /v(.+)/],
  ["iperf3", ["iperf3", "--version"], /iperf ([^\s]+)/],
  ["compiler", ["cc", "--version"], /^(.*)/],
];

/** A hypervisor that does not name itself. */
const UNNAMED = "unnamed";

/** What the machine is. */
export function observeMachine(host: Host): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? "unknown",
    cpus: all.length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    hypervisor: observeHypervisor(host),
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(host.readFile("/etc/os-release") ?? "")?.[1] ?? "unknown",
    kernel: release(),
    architecture: process.arch,
  };
}

/** What DMI says of a machine that is a virtual one (flag "hypervisor" of /proc/cpuinfo). */
function observeHypervisor(host: Host): string | null {
  const isVirtual = /^flags\s*:.*\bhypervisor\b/m.test(host.readFile("/proc/cpuinfo") ?? "");
  if (!isVirtual) return null;
  return host.readFile("/sys/class/dmi/id/sys_vendor")?.trim() || UNNAMED;
}

/** Versions of ourselves and of the programs that take part; one that is not here is left out. */
export async function observeVersions(host: Host, peers: readonly Peers[]): Promise<Record<string, string>> {
  const versions: Record<string, string> = { minicni: VERSION, bun: Bun.version };
  if (peers.length > 0) versions["reference plugins"] = peers.map(({ version }) => version).join(" and ");
  for (const [name, argv, pattern] of PROGRAMS) {
    if (host.findProgram(argv[0] ?? "") === null) continue;
    const { stdout, stderr } = await host.spawn({ argv });
    const version = pattern.exec(`${stdout}${stderr}`)?.[1];
    if (version !== undefined) versions[name] = version.trim();
  }
  return versions;
}

/** Processes that want to run, on average over the last minute (proc(5), loadavg). */
export function observeLoad(): number {
  return loadavg()[0] ?? 0;
}

/** Clock ticks of all CPUs since boot: those that the hypervisor gave to others, and all. */
export interface Ticks {
  readonly stolen: number;
  readonly all: number;
}

/** The first line of /proc/stat (proc(5)): the eighth number is steal; guest time is in user time already. */
export function observeTicks(host: Host): Ticks {
  const line = /^cpu +(.*)$/m.exec(host.readFile("/proc/stat") ?? "")?.[1] ?? "";
  const ticks = line.split(" ").slice(0, 8).map(Number);
  return { stolen: ticks[7] ?? 0, all: ticks.reduce((sum, count) => sum + count, 0) };
}
