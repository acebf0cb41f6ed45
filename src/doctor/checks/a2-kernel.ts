import { check } from "../check.ts";
import { fail, pass, skip, type Verdict } from "../finding.ts";
import { FEATURES, type KernelFeature } from "../kernel-features.ts";
import type { Kernel } from "../sections/kernel.ts";

type Feature = Kernel["features"][number];

/** A2: what pods, tunnel, rules and limits need of the kernel; what only a key needs that nobody uses is no fault. */
export const kernelCheck = check("A2", "kernel features", ["kernel"], ({ kernel }) => {
  const { features, release } = kernel;
  const needed = FEATURES.filter((feature) => isNeeded(feature, kernel));
  const faults = needed.flatMap((feature) => {
    const found = features.find(({ name }) => name === feature.name);
    if (found?.state === "missing") return [missing(feature, found, kernel)];
    return found?.state === "blocked" ? [blocked(feature, found, kernel)] : [];
  });
  const unseen = judgeUnseen(features.filter(({ name }) => needed.some((feature) => feature.name === name)));
  if (faults.length > 0 || features.every(({ state }) => state === "unknown")) return [...faults, ...unseen];
  const unused = features.filter(({ state }) => /^(missing|blocked)$/.test(state)).map(({ name }) => name);
  const but = unused.length === 0 ? "" : `; it has no ${unused.join(", no ")}, which nothing here asks for`;
  const evidence = features.map(({ name, state, detail }) => `${name}: ${state} (${detail})`);
  const what = unseen.length === 0 ? "has what the network needs" : "has what could be looked at";
  return [pass(`kernel ${release} ${what}${but}`, evidence), ...unseen];
});

function isNeeded({ need }: KernelFeature, { keys, mayTunnel }: Kernel): boolean {
  if (need === "pods") return true;
  return need === "tunnel" ? mayTunnel : need.keys.some((key) => keys.includes(key));
}

function missing(feature: KernelFeature, { detail }: Feature, kernel: Kernel): Verdict {
  const { option, use, modules } = feature;
  const { release, isReplaced, isLocked } = kernel;
  const [module] = modules;
  const cause = `without it nothing serves for ${use} (${option})`;
  const message = `kernel ${release} has no ${feature.name}`;
  const evidence = [detail];
  if (isReplaced && module !== undefined) {
    return fail({
      message,
      evidence: [...evidence, `/lib/modules has no ${release}`],
      cause: `${cause}; the disk has modules of another kernel alone, as after an upgrade without a reboot`,
      fix: ["reboot"],
    });
  }
  if (isLocked && module !== undefined) {
    return fail({
      message,
      evidence: [...evidence, "kernel.modules_disabled = 1"],
      cause: `${cause}; until the next boot nobody can load a module`,
      fix: [
        `echo ${module} > /etc/modules-load.d/minicni-${module}.conf  # loaded before the lock`,
        "reboot",
      ],
    });
  }
  const package_ = `apt-get install linux-modules-extra-${release}`;
  return fail({
    message,
    evidence,
    cause,
    fix:
      module === undefined
        ? [`# a kernel with ${option}=y`]
        : [`modprobe ${module}`, `# where there is no such module: ${package_}, or a kernel with ${option}`],
  });
}

function blocked({ name, use, modules }: KernelFeature, { detail }: Feature, { release }: Kernel): Verdict {
  const [place = "", words = ""] = detail.split(/: (?=blacklist|install)/);
  const [file = "", line = ""] = place.split(/:(?=\d+$)/);
  const module = /^\w+\s+(\S+)/.exec(words)?.[1] ?? modules[0] ?? name;
  return fail({
    message: `kernel ${release} may not load ${module}: ${place}`,
    evidence: [detail],
    cause: `without ${name} nothing serves for ${use}; the kernel asks for the module when it is needed, and is refused`,
    fix: [`sed -i '${line}s/^/# /' ${file}`, `modprobe ${module}`],
  });
}

/** One line for all that was not looked at for one reason. */
function judgeUnseen(features: readonly Feature[]): Verdict[] {
  const reasons = new Map<string, string[]>();
  for (const { name, state, detail } of features) {
    if (state !== "unknown") continue;
    // The command is another one for each, what it was told is not.
    const reason = detail.replace(/^`.*` in a namespace of its own: /, "");
    reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
  }
  return [...reasons].map(([reason, names]) =>
    skip(`kernel features: not looked at: ${names.join(", ")}: ${reason}`),
  );
}
