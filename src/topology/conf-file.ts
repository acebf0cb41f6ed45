import { DEFAULT_BRIDGE, DEFAULT_STATE_DIR, OWN_TYPE } from "../cni/config.ts";
import { CONFLIST_FILE, configFiles, filesBeforeOurs, OWN_NETWORK } from "./conflist.ts";

/** A file of the folder of configurations and its text; null: none that was, or could be, read. */
export interface ConfFile {
  readonly name: string;
  readonly text: string | null;
}

/** Behind the name of what was there before us: no runtime reads such a configuration, none runs such a plugin. */
export const KEPT_SUFFIX = ".replaced";

/** What a configuration of Go minicni says: `subnet` at the top level, no `ipam`. */
export interface OldConfig {
  readonly subnet: string;
  readonly bridge: string;
  /** Settings of its own, as `key=value`, that the agent's configuration does not take over. */
  readonly others: readonly string[];
}

/** What Go minicni's own manifest writes, but for the subnet. */
const MANIFEST: Readonly<Record<string, unknown>> = {
  cniVersion: "0.1.0",
  name: OWN_TYPE,
  type: OWN_TYPE,
  bridge: DEFAULT_BRIDGE,
  mtu: 1500,
};

function parseObject(text: string | null): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** The plugins' types of a configuration or a list; null: it is neither. */
function typesOf(conf: Readonly<Record<string, unknown>>): string[] | null {
  const entries: unknown[] = Array.isArray(conf.plugins) ? conf.plugins : [conf];
  const types = entries.flatMap((entry) =>
    typeof entry === "object" && entry !== null && "type" in entry && typeof entry.type === "string"
      ? [entry.type]
      : [],
  );
  return types.length === 0 || types.length < entries.length ? null : types;
}

/** Whose a configuration is, for a person: `network "cbr0", plugins flannel, portmap`; null: it is none. */
export function describeConfig(text: string | null): string | null {
  const conf = parseObject(text);
  const types = conf === null ? null : typesOf(conf);
  if (conf === null || types === null) return null;
  // Quoted by JSON: a stranger's text must not break the line.
  const name = typeof conf.name === "string" ? `network ${JSON.stringify(conf.name)}, ` : "";
  const words = types.map((type) => (/^[\w.-]+$/.test(type) ? type : JSON.stringify(type)));
  return `${name}${types.length === 1 ? "plugin" : "plugins"} ${words.join(", ")}`;
}

/**
 * Whether a list is what the agent writes (`formatConflist`), of whatever version: our network, our plugin alone, and no
 * setting that a person would have made, such as addresses.
 */
export function isOwnConflist(text: string | null): boolean {
  const conf = parseObject(text);
  if (conf === null || conf.name !== OWN_NETWORK || !Array.isArray(conf.plugins)) return false;
  const plugins: readonly unknown[] = conf.plugins;
  const [plugin] = plugins;
  if (plugins.length !== 1 || typesOf(conf)?.[0] !== OWN_TYPE) return false;
  return Object.keys(Object(plugin)).every((key) => ["type", "capabilities", "stateDir"].includes(key));
}

/** The state folder that the agent's own conflist names; null where there is no such conflist. */
export function ownStateDir(configs: readonly ConfFile[]): string | null {
  const text = configs.find(({ name }) => name === CONFLIST_FILE)?.text ?? null;
  if (!isOwnConflist(text)) return null;
  const plugins: unknown = parseObject(text)?.plugins;
  const { stateDir } = Object(Array.isArray(plugins) ? plugins[0] : null);
  return typeof stateDir === "string" ? stateDir : DEFAULT_STATE_DIR;
}

/** Whether a runtime calls our plugin by this configuration, alone or among others. */
export function namesOurPlugin(text: string | null): boolean {
  const conf = parseObject(text);
  return conf !== null && (typesOf(conf)?.includes(OWN_TYPE) ?? false);
}

/** Names of those that a runtime takes in place of ours, and by which pods would be none of ours. */
export function foreignBeforeOurs(configs: readonly ConfFile[]): string[] {
  const calling = new Set(configs.filter(({ text }) => namesOurPlugin(text)).map(({ name }) => name));
  return filesBeforeOurs(configs.map(({ name }) => name)).filter((name) => !calling.has(name));
}

/** Whether a configuration is of Go minicni. */
export function isOldConfig(text: string | null): boolean {
  return text !== null && parseOldConfig(text) !== null;
}

/** Names of Go minicni's configurations that runtimes read; its DaemonSet has one, of any name (CNI_CONF_NAME). */
export function oldConfigs(configs: readonly ConfFile[]): string[] {
  const old = configs.filter(({ text }) => isOldConfig(text)).map(({ name }) => name);
  return configFiles(old);
}

/** Names of those that an install of ours took away. */
export function keptConfigs(configs: readonly ConfFile[]): string[] {
  const kept = configs.filter(({ name, text }) => name.endsWith(KEPT_SUFFIX) && isOldConfig(text));
  return kept.map(({ name }) => name).sort();
}

/** Reads a configuration of Go minicni; null for any other. */
export function parseOldConfig(text: string): OldConfig | null {
  const conf = parseObject(text);
  if (conf === null || conf.type !== OWN_TYPE || "plugins" in conf || conf.ipam) return null;
  if (typeof conf.subnet !== "string") return null;
  const bridge = typeof conf.bridge === "string" && conf.bridge !== "" ? conf.bridge : DEFAULT_BRIDGE;
  const others = Object.entries(conf)
    .filter(([key, value]) => key !== "subnet" && MANIFEST[key] !== value)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return { subnet: conf.subnet, bridge, others };
}
