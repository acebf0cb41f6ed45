import { OWN_TYPE } from "../cni/config.ts";
import { quoteWord } from "../plan/format.ts";
import { HOST, type Plan, type Step } from "../plan/step.ts";
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
const EXECUTABLE = 0o755;

/** Whether what a symbolic link in the plugins' folder says is our binary there. */
export function leadsToOurs(target: string, binDir: string): boolean {
  const wanted = target.startsWith("/") ? `${binDir}/${OWN_TYPE}` : OWN_TYPE;
  return partsOf(target) === partsOf(wanted);
}

/** Without what says nothing in a path. */
function partsOf(path: string): string {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

/** What `minicni install` found on the node. */
export interface ObservedInstall {
  readonly binDir: string;
  readonly confDir: string;
  /** The binary that is to be installed; `digest` is its SHA-256. */
  readonly source: { readonly path: string; readonly digest: string; readonly version: string };
  /** Whether `binDir` is a folder, or leads to one. */
  readonly isFolder: boolean;
  /**
   * What is at `<binDir>/minicni`, links followed; `digest` null: no regular file. `hasMode`: everybody may run it, and
   * nobody but its owner write it. Null: nothing.
   */
  readonly binary: { readonly digest: string | null; readonly hasMode: boolean } | null;
  /** `broken`: it can't be run, as a symbolic link that leads nowhere. */
  readonly loopback: "absent" | "there" | "broken";
  /** Whether `<binDir>/minicni.tmp` is there: what a killed installer left. */
  readonly hasTemporary: boolean;
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
 * How to come from the observed to the desired files: the binary, `loopback` where there is none, and no configuration
 * of Go minicni, which would be taken before ours. The same content is left alone. The binary comes before anything that
 * needs it. Throws InstallConflict.
 */
export function planInstall(observed: ObservedInstall): InstallPlan {
  const { confDir, configs } = observed;
  const old = oldConfigs(configs);
  const textOf = (name: string) => configs.find((config) => config.name === name)?.text ?? null;
  const loopback = planLoopback(observed);
  return {
    stages: [
      planBinary(observed, old.length > 0),
      [...loopback.steps, ...old.flatMap((name) => planOldConfig(observed, name))],
    ],
    notes: [
      ...loopback.notes,
      ...old.flatMap((name) => describeOldConfig(observed, name, parseOldConfig(textOf(name) ?? ""))),
      ...foreignBeforeOurs(configs).map((name) => describeForeign(confDir, name, textOf(name))),
    ],
  };
}

function planBinary(observed: ObservedInstall, isUpgradeOfOld: boolean): Step[] {
  const { binDir, binary, source } = observed;
  const to = `${binDir}/${OWN_TYPE}`;
  if (!observed.isFolder) {
    throw new InstallConflict(
      `${binDir} is no folder`,
      `make it: mkdir -p ${quoteWord(binDir)}; where something else has the name: ls -ld ${quoteWord(binDir)}`,
    );
  }
  if (binary !== null && binary.digest === null) {
    throw new InstallConflict(
      `${to} is no file`,
      `see what it is, and move it away: ls -ld ${quoteWord(to)}`,
    );
  }
  if (binary?.digest === source.digest && binary.hasMode) {
    const why = "what a killed installer left";
    return observed.hasTemporary ? [{ op: "file.remove", path: `${to}.tmp`, netns: HOST, why }] : [];
  }
  const keep: Step = {
    op: "file.link",
    kind: "hard",
    path: `${to}${KEPT_SUFFIX}`,
    target: to,
    netns: HOST,
    why: "keep the plugin of Go minicni for uninstall",
    undo: { op: "file.remove", path: `${to}${KEPT_SUFFIX}` },
    isAtomic: true,
  };
  const install: Step = {
    op: "file.install",
    from: source.path,
    to,
    mode: EXECUTABLE,
    netns: HOST,
    why: `minicni ${source.version} (sha256 ${short(source.digest)}): ${describeBinary(observed)}`,
  };
  const keeps = isUpgradeOfOld && binary !== null && !observed.hasKeptBinary;
  return [...(keeps ? [keep] : []), install];
}

function describeBinary({ binDir, binary, source }: ObservedInstall): string {
  if (binary?.digest == null) return `${binDir} has none`;
  if (binary.digest === source.digest) return `the mode of the one in ${binDir} is not as it should be`;
  return `${binDir} has another one (sha256 ${short(binary.digest)})`;
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
