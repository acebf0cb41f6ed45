import { OWN_TYPE } from "../cni/config.ts";
import { addressOfFile } from "../ipam/reservation.ts";
import { HOST, type Step } from "../plan/step.ts";
import {
  type ConfFile,
  describeConfig,
  isOldConfig,
  isOwnConflist,
  KEPT_SUFFIX,
  keptConfigs,
  namesOurPlugin,
  oldConfigs,
} from "./conf-file.ts";
import { CONFLIST_FILE, configFiles } from "./conflist.ts";
import { LOOPBACK, leadsToOurs, STANDALONE } from "./install.ts";
import { type Removal, removeFile } from "./uninstall.ts";

/** Takes our configuration away, so that a runtime calls the plugin no more; first of all. */
export function planConflistRemoval(confDir: string, configs: readonly ConfFile[]): Removal {
  const ours = configs.find(({ name }) => name === CONFLIST_FILE);
  const isOurs = ours !== undefined && isOwnConflist(ours.text);
  const hasTemporary = configs.some(({ name }) => name === `${CONFLIST_FILE}.tmp`);
  const why = "runtimes call the plugin no more";
  const runnable = new Set(configFiles(configs.map(({ name }) => name)));
  const others = configs.filter(
    (config) =>
      runnable.has(config.name) &&
      !(config === ours && isOurs) &&
      (config === ours || (namesOurPlugin(config.text) && !isOldConfig(config.text))),
  );
  return {
    steps: [
      ...(isOurs ? [removeFile(`${confDir}/${CONFLIST_FILE}`, why)] : []),
      ...(hasTemporary ? [removeFile(`${confDir}/${CONFLIST_FILE}.tmp`, why)] : []),
    ],
    notes: others.map(
      ({ name, text }) =>
        `${confDir}/${name} (${describeConfig(text) ?? "no network configuration"}) was not written by minicni, and stays; ` +
        "no pod can start by it once the plugin is gone",
    ),
  };
}

/**
 * What is in the plugins' folder: `loopback` is the target of a symbolic link, else null. `hasLauncher`: the plugin is a
 * launcher of ours, as its content tells.
 */
export interface ObservedPrograms {
  readonly binDir: string;
  readonly confDir: string;
  readonly names: readonly string[];
  readonly loopback: string | null;
  readonly hasLauncher: boolean;
  readonly configs: readonly ConfFile[];
}

/** Whether the plugin is Go minicni's own: it is in use, and nobody installed over it. */
export function isOfGoMinicni({
  names,
  configs,
  hasLauncher,
}: Pick<ObservedPrograms, "names" | "configs" | "hasLauncher">): boolean {
  return (
    !hasLauncher &&
    oldConfigs(configs).length > 0 &&
    keptConfigs(configs).length === 0 &&
    !names.includes(`${OWN_TYPE}${KEPT_SUFFIX}`)
  );
}

/**
 * Puts the plugins' folder, and the configuration of Go minicni, back as they were; last of all. To be run in order and
 * no further than the first step that fails: what the launcher executes goes when nothing needs it any more, a second
 * run of ours included.
 */
export function planProgramsRemoval(observed: ObservedPrograms): Removal {
  const { binDir, confDir, names, loopback, configs } = observed;
  const binary = `${binDir}/${OWN_TYPE}`;
  const steps: Step[] = [];
  const why = "programs of minicni";
  const back = "what was there before minicni";
  const rename = (from: string, to: string): Step => ({
    op: "file.rename",
    from,
    to,
    netns: HOST,
    why: back,
  });
  for (const name of [`${OWN_TYPE}.tmp`, `${STANDALONE}.tmp`]) {
    if (names.includes(name)) steps.push(removeFile(`${binDir}/${name}`, why));
  }
  // Go minicni has no such program: an installer that was killed early, or an uninstall late, left it.
  const executed = names.includes(STANDALONE) ? [removeFile(`${binDir}/${STANDALONE}`, why)] : [];
  if (isOfGoMinicni(observed)) {
    const own = oldConfigs(configs).map((name) => `${confDir}/${name}`);
    if (names.includes(OWN_TYPE)) own.push(binary);
    return { steps: [...steps, ...executed], notes: own.map((path) => `${path} is of Go minicni: it stays`) };
  }
  if (loopback !== null && leadsToOurs(loopback, binDir))
    steps.push(removeFile(`${binDir}/${LOOPBACK}`, why));
  const notes: string[] = [];
  const hasKept = names.includes(`${OWN_TYPE}${KEPT_SUFFIX}`);
  const removal = names.includes(OWN_TYPE) ? [removeFile(binary, why)] : [];
  // With a plugin to come back the configurations are first, by which a second run knows whose the plugin is; without
  // one ours is first, lest that run take it for Go minicni's.
  if (!hasKept) steps.push(...removal);
  for (const name of keptConfigs(configs)) {
    const to = name.slice(0, -KEPT_SUFFIX.length);
    if (!configs.some((config) => config.name === to)) {
      steps.push(rename(`${confDir}/${name}`, `${confDir}/${to}`));
    } else notes.push(`${confDir}/${name} stays: there is another ${to}`);
  }
  if (hasKept) steps.push(...removal, rename(`${binary}${KEPT_SUFFIX}`, binary));
  return { steps: [...steps, ...executed], notes };
}

/** What a network's folder of reservations holds besides them: host-local's own files, and ours. */
const STORE_FILES = /^(lock|last_reserved_ip\.\d+|\.boot|\.claim|\.pool\.\d+)$/;
/** Of these, what host-local does not know. */
const OWN_STORE_FILES = /^(\.boot|\.claim|\.pool\.\d+)$/;

/** Whether a file of a folder of reservations is the built-in store's; `isWhole`: the whole network was ours. */
export function isStoreFile(name: string, isWhole: boolean): boolean {
  if (!isWhole) return OWN_STORE_FILES.test(name);
  return STORE_FILES.test(name) || addressOfFile(name) !== null;
}

/** Files and folders that the agent and the plugin keep in their folder of state. */
const STATE_FILES =
  /^((node|agent)\.json(\.tmp)?|(agent|attachments|rules|bridge|released|hostports|portrules)\.lock|\.minicni-probe|cni\.sock(\.fd)?(\.new)?)$/;
export const STATE_FOLDERS = ["masquerade", "released", "hostports"] as const;

/** Whether a name in the folder of state is one of ours. */
export function isStateFile(name: string): boolean {
  return STATE_FILES.test(name);
}
