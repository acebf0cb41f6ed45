import { messageOf, OverdueError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import type { Address } from "../../net/address.ts";
import type { ObservedLink } from "../../plan/state.ts";
import type { Plan, Step } from "../../plan/step.ts";
import { OWN_NETWORK } from "../../topology/conflist.ts";
import { LOOPBACK } from "../../topology/install.ts";
import {
  joinRemovals,
  planDevicesRemoval,
  planFolderRemoval,
  planPodLinksRemoval,
  planRoutesRemoval,
  type Removal,
  removeFile,
  removes,
} from "../../topology/uninstall.ts";
import {
  isOfGoMinicni,
  isStateFile,
  planConflistRemoval,
  planProgramsRemoval,
  STATE_FOLDERS,
} from "../../topology/uninstall-files.ts";
import { attachmentLock } from "../call.ts";
import { agentLock } from "../node.ts";
import { namesIn, readConfigs, readText } from "../read.ts";
import {
  type AttachmentsRemoval,
  planAttachmentsRemoval,
  type Recorded,
  readAttachments,
} from "./attachments.ts";
import {
  describeMissing,
  describeOtherState,
  describePods,
  describePorts,
  describeUnseen,
  type Obstacle,
} from "./obstacles.ts";
import type { UninstallSettings } from "./options.ts";
import { hasLauncher } from "./programs.ts";
import { planRulesRemoval } from "./rules.ts";

/** All that minicni left on a node, and how it goes. */
export interface Remains {
  /** First: as long as runtimes call the plugin, the rest has to be there. */
  readonly conflist: Plan;
  readonly plan: Plan;
  /** Ourselves, and what was there before us: when all else is gone, since a second run needs the program; in order. */
  readonly programs: Plan;
  /** The locks that keep an agent and calls out until then, and their folder. */
  readonly locks: Plan;
  readonly notes: readonly string[];
  /** What could not be looked at: it may be left. */
  readonly faults: readonly string[];
  /** Why nothing may be removed without `--force`. */
  readonly obstacles: readonly Obstacle[];
  readonly addresses: readonly Address[];
}

const NO_REMOVAL: Removal = { steps: [], notes: [] };

/**
 * Looks at the whole node and plans the removal of what is ours, in an order in which a run that is killed leaves a node
 * that works and is less of ours: the conflist, the pods, rules, routes, devices, state, programs. Never throws but
 * OverdueError.
 */
export async function observeRemains(host: Host, settings: UninstallSettings): Promise<Remains> {
  const { binDir, confDir } = settings;
  const faults: string[] = [];
  const look = <T>(what: string, fallback: T, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (error instanceof OverdueError) throw error;
      faults.push(`${what}: ${messageOf(error)}`);
      return fallback;
    }
  };
  const links = look<ObservedLink[]>("links", [], () => host.links());
  const recorded = look<Recorded[] | null>("attachments", null, () =>
    readAttachments(host, settings.stateDir),
  );
  const unseen = [...faults];
  const configs = look(confDir, [], () => readConfigs(confDir, host));
  const names = look(binDir, [], () => host.listFolder(binDir));
  const isLaunched = look(binDir, false, () => hasLauncher(binDir, host));
  const isOthers = isOfGoMinicni({ names, configs, hasLauncher: isLaunched });
  const pods =
    recorded === null
      ? null
      : look<AttachmentsRemoval | null>("addresses", null, () =>
          planAttachmentsRemoval(host, settings, recorded),
        );
  const rules = await planRulesRemoval(host, faults);
  const routes = look<Step[]>("routes", [], () => planRoutesRemoval(host.routeTable(), links));
  const programs = look(binDir, NO_REMOVAL, () => {
    const found = host.observeFile(`${binDir}/${LOOPBACK}`);
    const loopback = found?.kind === "link" ? found.target : null;
    return planProgramsRemoval({ binDir, confDir, names, loopback, configs, hasLauncher: isLaunched });
  });
  const conflist = planConflistRemoval(confDir, configs);
  // Without a look at the attachments it is not known what in it is to stay.
  const state =
    pods === null ? NO_REMOVAL : look(settings.stateDir, NO_REMOVAL, () => planState(host, settings, pods));
  const lasting = [settings.stateDir, agentLock(settings.stateDir), attachmentLock(settings)];
  const isLast = (step: Step) => "path" in step && lasting.includes(step.path);
  const { steps, notes } = joinRemovals([
    { steps: planPodLinksRemoval(links), notes: [] },
    pods ?? NO_REMOVAL,
    { steps: [...rules, ...routes], notes: [] },
    planDevicesRemoval(links, { isOthers }),
    { steps: state.steps.filter((step) => !isLast(step)), notes: state.notes },
    look(settings.cniDir, NO_REMOVAL, () => planResults(host, settings)),
    look("folders", NO_REMOVAL, () => describeLinks(host, settings)),
  ]);
  return {
    conflist: conflist.steps,
    plan: steps,
    programs: programs.steps,
    locks: state.steps.filter(isLast),
    notes: [...conflist.notes, ...notes, ...programs.notes],
    faults,
    obstacles: [
      ...describeUnseen(unseen),
      ...describeMissing(host, steps, recorded ?? []),
      ...describeOtherState(configs, settings.stateDir),
      ...describePods(host, recorded ?? [], links),
      ...(isOthers ? [] : describePorts(links)),
    ],
    addresses: pods?.addresses ?? [],
  };
}

/** What a link leads to may be anybody's. */
function describeLinks(host: Host, { stateDir, dataDir, cniDir }: UninstallSettings): Removal {
  const links = [stateDir, dataDir, `${cniDir}/networks`].filter(
    (path) => host.observeFile(path)?.kind === "link",
  );
  return { steps: [], notes: links.map((path) => `${path} is a link: what is behind it stays`) };
}

const STATE = "state of minicni";

/** `attachments` is emptied by then, but for what is not ours. */
function planState(
  host: Host,
  { stateDir, dataDir }: UninstallSettings,
  { steps }: AttachmentsRemoval,
): Removal {
  const attachments = planFolders(host, `${stateDir}/attachments`, (path) => removes(steps, path));
  const folders = STATE_FOLDERS.map((name) => {
    const path = `${stateDir}/${name}`;
    const isFile = (own: string) => host.observeFile(`${path}/${own}`)?.kind === "file";
    return { name, path, ...planFolderRemoval(path, namesIn(path, host), isFile, STATE) };
  });
  const emptied = [
    ...(attachments.isEmptied ? ["attachments"] : []),
    ...folders.flatMap(({ name, path, steps }) => (removes(steps, path) ? [name] : [])),
  ];
  const names = namesIn(stateDir, host);
  const files = planFolderRemoval(
    stateDir,
    names?.filter((name) => !emptied.includes(name)) ?? null,
    isStateFile,
    STATE,
  );
  const known = namesIn(dataDir, host);
  const isKnown = (name: string) => /^nodes\.json(\.tmp)?$/.test(name);
  return joinRemovals([attachments, ...folders, files, planFolderRemoval(dataDir, known, isKnown, STATE)]);
}

/** A folder whose folders all go. */
function planFolders(
  host: Host,
  path: string,
  isGone: (path: string) => boolean,
): Removal & { readonly isEmptied: boolean } {
  const names = namesIn(path, host);
  if (names === null) return { ...NO_REMOVAL, isEmptied: true };
  const isEmptied = names.every((name) => isGone(`${path}/${name}`));
  return { ...(isEmptied ? planFolderRemoval(path, [], () => true, STATE) : NO_REMOVAL), isEmptied };
}

/** libcni keeps what it called us with, for a DEL of later; by then there is nothing to delete. */
function planResults(host: Host, { cniDir }: UninstallSettings): Removal {
  const path = `${cniDir}/results`;
  const ours = host
    .listFolder(path)
    .filter((name) => name.startsWith(`${OWN_NETWORK}-`) && isOurResult(readText(`${path}/${name}`, host)));
  return {
    steps: ours.sort().map((name) => removeFile(`${path}/${name}`, "results that runtimes cached")),
    notes: [],
  };
}

function isOurResult(text: string | null): boolean {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return (
      typeof value === "object" &&
      value !== null &&
      "networkName" in value &&
      value.networkName === OWN_NETWORK
    );
  } catch {
    return false;
  }
}
