import { OWN_TYPE } from "../cni/config.ts";
import { HOST, type Plan, type Step } from "../plan/step.ts";
import { describeConfig, isOldConfig, OLD_CONF_FILE, type OldConfig, parseOldConfig } from "./conf-file.ts";
import { CONFLIST_FILE, filesBeforeOurs } from "./conflist.ts";

/** Behind the name of what was there before us: no runtime reads such a configuration, none runs such a plugin. */
export const KEPT_SUFFIX = ".replaced";
/** libcni's fixed name for the plugin of the `lo` that every sandbox has; containerd up to 2.0 runs it. */
export const LOOPBACK = "loopback";
const EXECUTABLE = 0o755;

/** What `minicni install` found on the node. */
export interface ObservedInstall {
  readonly binDir: string;
  readonly confDir: string;
  /** The binary that is to be installed; `digest` is its SHA-256. */
  readonly source: { readonly path: string; readonly digest: string; readonly version: string };
  /** What is at `<binDir>/minicni`, links followed; `digest` null: no regular file. Null: nothing. */
  readonly binary: { readonly digest: string | null; readonly isExecutable: boolean } | null;
  /** `broken`: a symbolic link that leads nowhere. */
  readonly loopback: "absent" | "there" | "broken";
  /** Whether `<binDir>/minicni.tmp` is there: what a killed installer left. */
  readonly hasTemporary: boolean;
  /** Whether `<binDir>/minicni.replaced` and `<confDir>/10-minicni.conf.replaced` are there. */
  readonly hasKeptBinary: boolean;
  readonly hasKeptConfig: boolean;
  /** Every name in the folder of configurations, with its text; null: it can't be read. */
  readonly configs: readonly { readonly name: string; readonly text: string | null }[];
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
  const old = observed.configs.find(({ name, text }) => name === OLD_CONF_FILE && isOldConfig(text));
  const oldConfig = old?.text == null ? null : parseOldConfig(old.text);
  const foreign = filesBeforeOurs(observed.configs.map(({ name }) => name)).filter(
    (name) => name !== old?.name,
  );
  const textOf = (name: string) => observed.configs.find((config) => config.name === name)?.text ?? null;
  const loopback = planLoopback(observed);
  return {
    stages: [
      planBinary(observed, oldConfig !== null),
      [...loopback.steps, ...(oldConfig === null ? [] : planOldConfig(observed))],
    ],
    notes: [
      ...loopback.notes,
      ...(oldConfig === null ? [] : describeOldConfig(observed, oldConfig)),
      ...foreign.map((name) => describeForeign(observed.confDir, name, textOf(name))),
    ],
  };
}

function planBinary(observed: ObservedInstall, isUpgradeOfOld: boolean): Step[] {
  const { binDir, binary, source } = observed;
  const to = `${binDir}/${OWN_TYPE}`;
  if (binary !== null && binary.digest === null) {
    throw new InstallConflict(`${to} is no file`, `see what it is (ls -ld ${to}), and move it away`);
  }
  if (binary?.digest === source.digest && binary.isExecutable) {
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
  if (binary.digest === source.digest) return `the one in ${binDir} can't be run (mode)`;
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
      const harm = "is a link that leads nowhere, and is left alone: no pod can start on containerd 1";
      return { steps: [], notes: [`${path} ${harm}; remove it and install again: rm ${path}`] };
    }
    case "absent": {
      const why = `${binDir} has no ${LOOPBACK}, which containerd needs`;
      const link = { op: "file.link", kind: "symbolic", path, target: OWN_TYPE } as const;
      return { steps: [{ ...link, netns: HOST, why }], notes: [] };
    }
  }
}

function planOldConfig({ confDir, hasKeptConfig }: ObservedInstall): Step[] {
  const from = `${confDir}/${OLD_CONF_FILE}`;
  const to = `${from}${KEPT_SUFFIX}`;
  const why = `the configuration of Go minicni would be taken before ${CONFLIST_FILE}`;
  const rename: Step = { op: "file.rename", from, to, netns: HOST, why };
  return hasKeptConfig
    ? [{ op: "file.remove", path: to, netns: HOST, why: `${from} came again` }, rename]
    : [rename];
}

function describeOldConfig({ binDir, confDir }: ObservedInstall, old: OldConfig): string[] {
  const { subnet, bridge, others } = old;
  const lost =
    others.length === 0
      ? []
      : [
          `its settings ${others.join(", ")} are not taken over: see MINICNI_MTU and the other settings of the agent`,
        ];
  return [
    `${confDir}/${OLD_CONF_FILE} is of Go minicni (subnet ${subnet}, bridge ${bridge}): it becomes ` +
      `${OLD_CONF_FILE}${KEPT_SUFFIX}, which no runtime reads; pods that run keep their network, those that start get ` +
      "addresses of the Node's spec.podCIDRs; `minicni uninstall` brings it back",
    `when the DaemonSet of Go minicni ends it removes ${binDir}/${OWN_TYPE}: delete it first ` +
      "(kubectl -n kube-system delete daemonset minicni-node), or restart the pods of minicni behind it",
    ...lost,
  ];
}

function describeForeign(confDir: string, name: string, text: string | null): string {
  const path = `${confDir}/${name}`;
  return (
    `${path} (${describeConfig(text)}) sorts before ${CONFLIST_FILE}: the runtime takes it, and pods are none of ` +
    `minicni's; to let minicni take over: mv ${path} ${path}.disabled`
  );
}
