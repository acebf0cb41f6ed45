import { OWN_TYPE } from "../cni/config.ts";
import { quoteWord } from "../plan/format.ts";
import { type FileOperation, HOST, type Plan, type Step } from "../plan/step.ts";
import {
  type ConfFile,
  describeConfig,
  foreignBeforeOurs,
  isOldConfig,
  KEPT_SUFFIX,
  type OldConfig,
  oldConfigs,
  parseOldConfig,
} from "./conf-file.ts";
import { CONFLIST_FILE } from "./conflist.ts";

/** libcni's fixed name for the plugin of the `lo` that every sandbox has; containerd up to 2.0 runs it. */
export const LOOPBACK = "loopback";
/** The full binary; the launcher beside it has the plugin's name, and executes it. */
export const STANDALONE = `${OWN_TYPE}-standalone`;
const EXECUTABLE = 0o755;

/** Whether what a symbolic link in the plugins' folder says is a program of ours there. */
export function leadsToOurs(target: string, binDir: string): boolean {
  const folder = target.startsWith("/") ? `${binDir}/` : "";
  return [OWN_TYPE, STANDALONE].some((name) => partsOf(target) === partsOf(folder + name));
}

/** Without what says nothing in a path. */
function partsOf(path: string): string {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

/**
 * A program in the plugins' folder, links followed; `digest` is its SHA-256, null: no regular file. `hasMode`: everybody
 * may run it, and nobody but its owner write it.
 */
export interface FoundProgram {
  readonly digest: string | null;
  readonly hasMode: boolean;
}

/** What `minicni install` found on the node. */
export interface ObservedInstall {
  readonly binDir: string;
  readonly confDir: string;
  /** The full binary that is to be installed; `digest` is its SHA-256. */
  readonly source: { readonly path: string; readonly digest: string; readonly version: string };
  /** The launcher that is to be installed, whole. */
  readonly launcher: { readonly content: Uint8Array; readonly digest: string };
  /** Whether `binDir` is a folder, or leads to one. */
  readonly isFolder: boolean;
  /** What is at `<binDir>/minicni-standalone`; null: nothing. */
  readonly standalone: FoundProgram | null;
  /** What is at `<binDir>/minicni`; null: nothing. `isOurs`: a launcher, or the very binary that is to be installed. */
  readonly plugin: (FoundProgram & { readonly isOurs: boolean }) | null;
  /** `broken`: it can't be run, as a symbolic link that leads nowhere. */
  readonly loopback: "absent" | "there" | "broken";
  /** Of the temporary files of both programs (`minicni.tmp`, …) those that are there: what a killed installer left. */
  readonly temporaries: readonly string[];
  /** Whether `<binDir>/minicni.replaced` is there. */
  readonly hasKeptBinary: boolean;
  /** All files in the folder of configurations. */
  readonly configs: readonly ConfFile[];
}

/** What has to change, and what a person should know. */
export interface InstallPlan {
  /** One after the other: what fails in one does not take back the one before. */
  readonly stages: readonly Plan[];
  readonly notes: readonly string[];
}

/** Something that must not be replaced is in the way; `hint` says what to do. */
export class InstallConflict extends Error {
  override readonly name = "InstallConflict";
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/**
 * How to come from the observed to the desired files: the full binary, the launcher, `loopback` where there is none, and
 * no configuration of Go minicni, which would be taken before ours. The same content is left alone. Each comes before what
 * needs it, so that no launcher ever stands without what it executes. Throws InstallConflict.
 */
export function planInstall(observed: ObservedInstall): InstallPlan {
  const { confDir, configs } = observed;
  const old = oldConfigs(configs);
  const textOf = (name: string) => configs.find((config) => config.name === name)?.text ?? null;
  const loopback = planLoopback(observed);
  return {
    stages: [
      planPrograms(observed, old.length > 0),
      [...loopback.steps, ...old.flatMap((name) => planOldConfig(observed, name))],
    ],
    notes: [
      ...loopback.notes,
      ...old.flatMap((name) => describeOldConfig(observed, name, parseOldConfig(textOf(name) ?? ""))),
      ...foreignBeforeOurs(configs).map((name) => describeForeign(confDir, name, textOf(name))),
    ],
  };
}

function planPrograms(observed: ObservedInstall, isUpgradeOfOld: boolean): Step[] {
  const { binDir, plugin, source, standalone } = observed;
  if (!observed.isFolder) {
    throw new InstallConflict(
      `${binDir} is no folder`,
      `make it: mkdir -p ${quoteWord(binDir)}; where something else has the name: ls -ld ${quoteWord(binDir)}`,
    );
  }
  const mode = EXECUTABLE;
  const executed = planProgram(observed, STANDALONE, standalone, source.digest, "minicni", (to) => ({
    op: "file.install",
    from: source.path,
    to,
    mode,
  }));
  const { content, digest } = observed.launcher;
  const launching = planProgram(observed, OWN_TYPE, plugin, digest, "launcher of minicni", (to) => ({
    op: "file.launcher",
    content,
    to,
    mode,
  }));
  const target = `${binDir}/${OWN_TYPE}`;
  const path = `${target}${KEPT_SUFFIX}`;
  const why = "keep the plugin of Go minicni for uninstall";
  const undo = { op: "file.remove", path } as const;
  const keep: Step = { op: "file.link", kind: "hard", path, target, netns: HOST, why, undo, isAtomic: true };
  const keeps = isUpgradeOfOld && plugin !== null && !plugin.isOurs && !observed.hasKeptBinary;
  return [...executed, ...(keeps ? [keep] : []), ...launching];
}

/** Nothing where it is as it should be. */
function planProgram(
  { binDir, source, temporaries }: ObservedInstall,
  name: string,
  found: FoundProgram | null,
  digest: string,
  what: string,
  write: (to: string) => FileOperation,
): Step[] {
  const to = `${binDir}/${name}`;
  if (found !== null && found.digest === null) {
    throw new InstallConflict(
      `${to} is no file`,
      `see what it is, and move it away: ls -ld ${quoteWord(to)}`,
    );
  }
  if (found?.digest !== digest || !found.hasMode) {
    const why = `${what} ${source.version} (sha256 ${short(digest)}): ${describeFound(binDir, found, digest)}`;
    return [{ ...write(to), netns: HOST, why }];
  }
  const why = "what a killed installer left";
  return temporaries.includes(`${name}.tmp`)
    ? [{ op: "file.remove", path: `${to}.tmp`, netns: HOST, why }]
    : [];
}

function describeFound(binDir: string, found: FoundProgram | null, digest: string): string {
  if (found?.digest == null) return `${binDir} has none`;
  if (found.digest === digest) return `the mode of the one in ${binDir} is not as it should be`;
  return `${binDir} has another one (sha256 ${short(found.digest)})`;
}

/** Enough to compare by eye. */
function short(digest: string): string {
  return digest.slice(0, 12);
}

function planLoopback({ binDir, loopback }: ObservedInstall): {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
} {
  const path = `${binDir}/${LOOPBACK}`;
  switch (loopback) {
    case "there":
      return { steps: [], notes: [] };
    case "broken": {
      const harm = "is no program that can be run, and is left alone: no pod can start on containerd 1";
      return { steps: [], notes: [`${path} ${harm}; remove it and install again: rm ${quoteWord(path)}`] };
    }
    case "absent": {
      const why = `${binDir} has no ${LOOPBACK}, which containerd needs`;
      const link = { op: "file.link", kind: "symbolic", path, target: OWN_TYPE } as const;
      return { steps: [{ ...link, netns: HOST, why }], notes: [] };
    }
  }
}

function planOldConfig({ confDir, configs }: ObservedInstall, name: string): Step[] {
  const from = `${confDir}/${name}`;
  const to = `${from}${KEPT_SUFFIX}`;
  const why = `the configuration of Go minicni, for which ${CONFLIST_FILE} comes`;
  const rename: Step = { op: "file.rename", from, to, netns: HOST, why };
  const kept = configs.find((config) => config.name === `${name}${KEPT_SUFFIX}`);
  if (kept === undefined) return [rename];
  if (!isOldConfig(kept.text))
    throw new InstallConflict(
      `${to}, where ${from} is to be kept, is somebody else's`,
      `move it away: mv ${quoteWord(to)} ${quoteWord(`${to}.old`)}`,
    );
  return [{ op: "file.remove", path: to, netns: HOST, why: `${from} came again` }, rename];
}

function describeOldConfig(
  { binDir, confDir }: ObservedInstall,
  name: string,
  old: OldConfig | null,
): string[] {
  if (old === null) return [];
  const { subnet, bridge, others } = old;
  const lost =
    others.length === 0
      ? []
      : [
          `its settings ${others.join(", ")} are not taken over: see MINICNI_MTU and the other settings of the agent`,
        ];
  return [
    `${confDir}/${name} is of Go minicni (subnet ${subnet}, bridge ${bridge}): it becomes ` +
      `${name}${KEPT_SUFFIX}, which no runtime reads; pods that run keep their network, those that start get ` +
      "addresses of the Node's spec.podCIDRs; `minicni uninstall` brings it back",
    `when the DaemonSet of Go minicni ends it removes ${binDir}/${OWN_TYPE}: delete it first ` +
      "(kubectl -n kube-system delete daemonset minicni-node), or restart the pods of minicni behind it",
    ...lost,
  ];
}

function describeForeign(confDir: string, name: string, text: string | null): string {
  const path = quoteWord(`${confDir}/${name}`);
  const what = describeConfig(text);
  // go-cni, which containerd uses, ends at the first file that it can't read; CRI-O goes on with the next.
  const harm =
    what === null
      ? `is no network configuration that can be read, and sorts before ${CONFLIST_FILE}: containerd stops at it, and no pod starts; to put it out of the way`
      : `(${what}) sorts before ${CONFLIST_FILE}: the runtime takes it, and pods are none of minicni's; to let minicni take over`;
  return `${path} ${harm}: mv ${path} ${path}.disabled`;
}
