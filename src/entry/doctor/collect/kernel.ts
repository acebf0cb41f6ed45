import { asksForBandwidth } from "../../../cni/bandwidth.ts";
import { FEATURES, isRefusal, type KernelFeature } from "../../../doctor/kernel-features.ts";
import type { Kernel } from "../../../doctor/sections/kernel.ts";
import { messageOf } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { readConfigured } from "../../agent/networks.ts";
import type { DoctorContext } from "./context.ts";
import { findModules, type KnownModules } from "./modules.ts";

type Feature = Kernel["features"][number];

const TIMEOUT_MS = 10_000;
const KEYS = ["vlan", "vlanTrunk", "macspoofchk"] as const;

/**
 * Modules that are loaded, built in or on the disk count as they are: nothing is loaded for a look. What is at hand nowhere is
 * tried in a namespace that ends with the command, where the kernel has no module that it could load for it.
 */
export async function collectKernel(context: DoctorContext): Promise<Kernel> {
  const { host, agent } = context;
  const release = host.readFile("/proc/sys/kernel/osrelease")?.trim() ?? "?";
  const modules = findModules(context, release);
  const features: Feature[] = [];
  for (const feature of FEATURES) {
    features.push(findAtHand(feature, modules) ?? (await tryFeature(feature, modules, host)));
  }
  return {
    release,
    features,
    keys: usedKeys(context),
    mayTunnel: agent?.settings.backend !== "host-gw",
    isReplaced: modules.isReplaced,
    isLocked: modules.isLocked,
  };
}

/** By the modules alone; null: they tell nothing. */
function findAtHand({ name, modules }: KernelFeature, known: KnownModules): Feature | null {
  const placeOf = (module: string) => known.places.get(module) ?? "";
  const working = modules.find((module) => /^(loaded|built in)$/.test(placeOf(module)));
  if (working !== undefined)
    return { name, state: "there", detail: `module ${working}: ${placeOf(working)}` };
  const loadable = modules.filter((module) => placeOf(module) !== "");
  if (known.isLocked || loadable.length === 0) return null;
  const free = loadable.find((module) => !known.blocks.has(module));
  if (free !== undefined) return { name, state: "there", detail: `module ${free}: ${placeOf(free)}` };
  return { name, state: "blocked", detail: known.blocks.get(loadable[0] ?? "") ?? "" };
}

async function tryFeature(feature: KernelFeature, { risk }: KnownModules, host: Host): Promise<Feature> {
  const { name, probe } = feature;
  const [program = ""] = probe.argv;
  const missing = ["unshare", program].find((needed) => host.findProgram(needed) === null);
  const reason = risk ?? (missing === undefined ? null : `there is no ${missing} to try it with`);
  if (reason !== null) return { name, state: "unknown", detail: reason };
  const command = `\`${probe.argv.join(" ")}\` in a namespace of its own`;
  const stdin = probe.stdin === undefined ? {} : { stdin: probe.stdin };
  try {
    const argv = ["unshare", "--net", ...probe.argv];
    const { exitCode, stderr, timedOut } = await host.spawn({ argv, ...stdin, timeoutMs: TIMEOUT_MS });
    if (exitCode === 0) return { name, state: "there", detail: `tried: ${command}` };
    const said = timedOut ? "no answer in time" : stderr.trim().replace(/\s*\n\s*/g, "; ");
    const state = !timedOut && isRefusal(stderr) ? "missing" : "unknown";
    return { name, state, detail: `${command}: ${said}` };
  } catch (error) {
    return { name, state: "unknown", detail: messageOf(error) };
  }
}

/** Keys of our networks' configurations that need more of the kernel than a pod does. */
function usedKeys({ host, settings }: DoctorContext): string[] {
  const networks = readConfigured(host, settings.confDir, []);
  const used = networks.flatMap(({ conf: { raw } }) => [
    // 0, false and an empty list ask for nothing.
    ...KEYS.filter((key) => raw[key] && (!Array.isArray(raw[key]) || raw[key].length > 0)),
    ...(asksForBandwidth(raw) ? ["bandwidth"] : []),
  ]);
  return [...new Set(used)].sort();
}
