import { DEFAULT_STATE_DIR, OWN_TYPE } from "../cni/config.ts";

/** The network that the agent sets up, and the file that tells runtimes of it. */
export const OWN_NETWORK = "minicni";
/** Early in the order of names, since a runtime takes the first. */
export const CONFLIST_FILE = "10-minicni.conflist";

/** Spoken since there are conflists in practice; a runtime takes the highest that it knows (SPEC §1 "cniVersions"). */
const VERSIONS = ["0.4.0", "1.0.0", "1.1.0"];
/** For a runtime that does not look at `cniVersions` (libcni before 1.2). */
const LEAST_VERSION = "1.0.0";

/** What libcni reads from a folder (libcni.ConfFiles), by the name alone. */
const READ_BY_RUNTIMES = /\.(conf|conflist|json)$/;

/** What a runtime hands over only where it is asked for: host ports, and the limits of a pod's annotations. */
const CAPABILITIES = { portMappings: true, bandwidth: true };

/**
 * The network configuration of a cluster's nodes: no `ipam`, since pods get the addresses that the agent publishes;
 * `stateDir` only where it is not the default. The same text for the same folder.
 */
export function formatConflist(stateDir: string): string {
  const plugin = {
    type: OWN_TYPE,
    capabilities: CAPABILITIES,
    ...(stateDir === DEFAULT_STATE_DIR ? {} : { stateDir }),
  };
  const list = {
    cniVersion: LEAST_VERSION,
    cniVersions: VERSIONS,
    name: OWN_NETWORK,
    plugins: [plugin],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** Files of a folder that a runtime reads, in its order: by the bytes of their names. */
export function configFiles(names: readonly string[]): string[] {
  return names.filter((name) => READ_BY_RUNTIMES.test(name)).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Files that a runtime takes before ours: its pods would be none of ours. */
export function filesBeforeOurs(names: readonly string[]): string[] {
  return configFiles(names).filter((name) => name < CONFLIST_FILE);
}
