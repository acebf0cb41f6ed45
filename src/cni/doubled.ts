import { OWN_TYPE } from "./config.ts";
import { canonicalKeys } from "./keys.ts";

/** Capabilities that we serve, and the reference plugins that do the same behind us. */
const SERVED_BY = { portMappings: "portmap", bandwidth: "bandwidth" } as const;
export type ServedCapability = keyof typeof SERVED_BY;

/** A capability that two plugins of one list declare, so that the runtime hands it to both. */
export interface Doubled {
  readonly capability: ServedCapability;
  /** Type of the other plugin. */
  readonly plugin: string;
}

/**
 * What a list (its JSON as text) has declared for us and for another plugin behind us; empty for the list of another
 * network, for what is no list, and for a text that can't be read.
 */
export function findDoubled(text: string, network: string | null = null): Doubled[] {
  const { name, plugins } = Object(parseList(text));
  if (!Array.isArray(plugins) || (network !== null && name !== network)) return [];
  const declares = (plugin: unknown, type: string, capability: string) =>
    Object(plugin).type === type && Object(Object(plugin).capabilities)[capability] === true;
  return Object.entries(SERVED_BY).flatMap(([capability, plugin]): Doubled[] => {
    const own = plugins.findIndex((it) => declares(it, OWN_TYPE, capability));
    const isBehind = own >= 0 && plugins.slice(own + 1).some((it) => declares(it, plugin, capability));
    return isBehind && isServed(capability) ? [{ capability, plugin }] : [];
  });
}

function isServed(capability: string): capability is ServedCapability {
  return capability in SERVED_BY;
}

function parseList(text: string): unknown {
  try {
    return canonicalKeys(JSON.parse(text));
  } catch {
    return null;
  }
}
