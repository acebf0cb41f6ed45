import { OWN_TYPE } from "../cni/config.ts";
import { addressOfFile } from "../ipam/reservation.ts";
import { HOST, type Step } from "../plan/step.ts";
import { describeConfig, isOldConfig, isOwnConflist, namesOurPlugin, OLD_CONF_FILE } from "./conf-file.ts";
import { CONFLIST_FILE, configFiles } from "./conflist.ts";
import { KEPT_SUFFIX, LOOPBACK } from "./install.ts";
import { type Removal, removeFile } from "./uninstall.ts";

/** A file and its text; null: it can't be read. */
export interface ReadFile {
  readonly name: string;
  readonly text: string | null;
}

/** Takes our configuration away, so that a runtime calls the plugin no more; first of all. */
export function planConflistRemoval(confDir: string, configs: readonly ReadFile[]): Removal {
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
        `${confDir}/${name} (${describeConfig(text)}) was not written by minicni, and stays; ` +
        "no pod can start by it once the plugin is gone",
    ),
  };
}

/** What is in the plugins' folder: `loopback` is the target of a symbolic link, else null. */
export interface ObservedPrograms {
  readonly binDir: string;
  readonly confDir: string;
  readonly names: readonly string[];
  readonly loopback: string | null;
  readonly configs: readonly ReadFile[];
}

/** Puts the plugins' folder, and the configuration of Go minicni, back as they were; last of all. */
export function planProgramsRemoval(observed: ObservedPrograms): Removal {
  const { binDir, confDir, names, loopback, configs } = observed;
  const binary = `${binDir}/${OWN_TYPE}`;
  const kept = `${OLD_CONF_FILE}${KEPT_SUFFIX}`;
  const hasConfig = (name: string) => configs.some((config) => config.name === name);
  const isOldInUse = configs.some(({ name, text }) => name === OLD_CONF_FILE && isOldConfig(text));
  const hasKept = names.includes(`${OWN_TYPE}${KEPT_SUFFIX}`);
  // Nobody installed over Go minicni: the plugin is its own.
  const isOthers = isOldInUse && !hasKept && !hasConfig(kept);
  const steps: Step[] = [];
  const why = "programs of minicni";
  const back = "what was there before minicni";
  if (loopback === OWN_TYPE && !isOthers) steps.push(removeFile(`${binDir}/${LOOPBACK}`, why));
  if (names.includes(`${OWN_TYPE}.tmp`)) steps.push(removeFile(`${binary}.tmp`, why));
  const notes: string[] = [];
  if (isOthers) notes.push(`${confDir}/${OLD_CONF_FILE} is of Go minicni, and so is ${binary}: both stay`);
  if (hasConfig(kept) && !hasConfig(OLD_CONF_FILE)) {
    const to = `${confDir}/${OLD_CONF_FILE}`;
    steps.push({ op: "file.rename", from: `${confDir}/${kept}`, to, netns: HOST, why: back });
  } else if (hasConfig(kept)) {
    notes.push(`${confDir}/${kept} stays: there is another ${OLD_CONF_FILE}`);
  }
  // Behind the configuration, which tells a second run whose the plugin is that it finds.
  if (names.includes(OWN_TYPE) && !isOthers) steps.push(removeFile(binary, why));
  if (hasKept)
    steps.push({ op: "file.rename", from: `${binary}${KEPT_SUFFIX}`, to: binary, netns: HOST, why: back });
  return { steps, notes };
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
const STATE_FILES = /^(node\.json(\.tmp)?|(agent|attachments|rules|bridge|released)\.lock|\.minicni-probe)$/;
export const STATE_FOLDERS = ["masquerade", "released"] as const;

/** Whether a name in the folder of state is one of ours. */
export function isStateFile(name: string): boolean {
  return STATE_FILES.test(name);
}
