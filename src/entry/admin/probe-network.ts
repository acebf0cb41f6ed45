import { DEFAULT_BRIDGE, DEFAULT_STATE_DIR, OWN_TYPE } from "../../cni/config.ts";
import { canonicalKeys } from "../../cni/keys.ts";
import { type CniVersion, findVersion, OLDEST_VERSION, SUPPORTED_VERSIONS } from "../../cni/version.ts";
import { HostError, messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { configFiles } from "../../topology/conflist.ts";

/** A network as a runtime would call our plugin for it. */
export interface ProbeNetwork {
  /** Where the configuration is from. */
  readonly file: string;
  readonly name: string;
  readonly version: CniVersion;
  /** What the plugin gets on stdin. */
  readonly conf: Readonly<Record<string, unknown>>;
  /** Types of the list's other plugins, which a runtime would call as well. */
  readonly others: readonly string[];
}

/** The bridge of its pods. */
export function bridgeOf({ conf }: Pick<ProbeNetwork, "conf">): string {
  return typeof conf.bridge === "string" && conf.bridge !== "" ? conf.bridge : DEFAULT_BRIDGE;
}

/** Where its records, locks and node.json are. */
export function stateDirOf({ conf }: Pick<ProbeNetwork, "conf">): string {
  return typeof conf.stateDir === "string" && conf.stateDir !== "" ? conf.stateDir : DEFAULT_STATE_DIR;
}

type Json = Readonly<Record<string, unknown>>;

const HINT = "name a configuration of minicni with --config FILE";

/**
 * The configuration that a runtime takes: of `file`, else the first one of the folder by name that it can read, as libcni
 * does. Throws HostError where there is none, or where it calls another plugin than ours.
 */
export function chooseNetwork(
  { file, confDir }: { readonly file: string | null; readonly confDir: string },
  host: Pick<Host, "readFile" | "listFolder">,
): ProbeNetwork {
  if (file !== null) return readNetwork(file, host);
  const names = configFiles(host.listFolder(confDir));
  for (const name of names) {
    try {
      return readNetwork(`${confDir}/${name}`, host);
    } catch (error) {
      if (!(error instanceof NoConfig)) throw error;
    }
  }
  const found =
    names.length === 0 ? "no configuration" : `no configuration that can be read (${names.join(", ")})`;
  throw new HostError(
    `${confDir} has ${found}: runtimes make no pods`,
    `is the agent ready? it writes one then: minicni status. Or ${HINT}`,
  );
}

/** What a runtime passes over. */
class NoConfig extends HostError {}

function readNetwork(file: string, host: Pick<Host, "readFile">): ProbeNetwork {
  const list = readObject(file, host);
  const plugins = Array.isArray(list.plugins) ? list.plugins.filter(isObject) : [list];
  const own = plugins.find(({ type }) => type === OWN_TYPE);
  const others = plugins.filter((plugin) => plugin !== own).map(({ type }) => String(type ?? "?"));
  const { name } = list;
  if (typeof name !== "string" || !plugins.some(({ type }) => typeof type === "string")) {
    throw new NoConfig(`${file} is no network configuration`, HINT);
  }
  if (own === undefined) {
    throw new HostError(
      `${file} does not call minicni: its plugins are ${others.join(", ")}, and a runtime takes this file`,
      `remove it where minicni is to make the pods, or ${HINT}`,
    );
  }
  const version = chooseVersion(list);
  return { file, name, version, conf: { ...own, cniVersion: version, name }, others };
}

/** The newest that list and plugin both speak, as libcni takes it since 1.2 (SPEC §1 "cniVersions"). */
function chooseVersion({ cniVersion, cniVersions }: Json): CniVersion {
  const told: unknown[] = Array.isArray(cniVersions) ? [...cniVersions, cniVersion] : [cniVersion];
  const known = SUPPORTED_VERSIONS.filter((version) => told.includes(version));
  return known.at(-1) ?? findVersion(cniVersion) ?? OLDEST_VERSION;
}

function readObject(file: string, host: Pick<Host, "readFile">): Json {
  const text = host.readFile(file);
  if (text === null) throw new NoConfig(`there is no file ${file}`, HINT);
  try {
    const value: unknown = canonicalKeys(JSON.parse(text));
    if (isObject(value)) return value;
  } catch (error) {
    throw new NoConfig(`${file} is no JSON: ${messageOf(error)}`, HINT);
  }
  throw new NoConfig(`${file} is no network configuration`, HINT);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
