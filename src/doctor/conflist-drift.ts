/** Keys whose values may be told; others may hold somebody's credentials. */
const TOLD =
  /^(type|name|cniVersion|cniVersions|stateDir|bridge|subnet|gateway|dataDir|executor|disableCheck|capabilities|plugins|portMappings|bandwidth)$/;

/**
 * In what a conflist differs from the wanted one, a line each: `plugins[0].mtu: 1400, wanted none`. Values are told where
 * they are numbers, truths, or of keys that hold no secrets. Empty: they say the same in other characters.
 */
export function describeDrift(found: string, wanted: string): string[] {
  const [have, want] = [parse(found), parse(wanted)];
  if (have === undefined) return ["it is no JSON"];
  return compare("", "", have, want);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function compare(path: string, key: string, have: unknown, want: unknown): string[] {
  if (isObject(have) && isObject(want) && Array.isArray(have) === Array.isArray(want)) {
    const keys = [...new Set([...Object.keys(want), ...Object.keys(have)])];
    return keys.flatMap((name) =>
      compare(
        Array.isArray(have) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`,
        Array.isArray(have) ? key : name,
        have[name],
        want[name],
      ),
    );
  }
  if (have === want) return [];
  return [`${path === "" ? "the whole" : path}: ${tell(key, have)}, wanted ${tell(key, want)}`];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function tell(key: string, value: unknown): string {
  if (value === undefined) return "none";
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (isObject(value)) {
    const type = value.type;
    if (typeof type === "string") return `{type ${JSON.stringify(type)}, …}`;
    return Array.isArray(value) ? `a list of ${value.length}` : "an object";
  }
  return TOLD.test(key) ? JSON.stringify(value) : "a text";
}
