import * as v from "valibot";
import { fitsGlob } from "./ini.ts";

/** A line of a file by which sysctls are set at boot. */
export const SettingSchema = v.object({
  /** As in /proc/sys, with slashes; may be a pattern of glob(7). */
  key: v.string(),
  /** Null: the key is kept out of patterns (`-net.ipv4.conf.all.rp_filter`). */
  value: v.nullable(v.string()),
  /** `/etc/sysctl.d/90-x.conf:3`. */
  place: v.string(),
});
export type Setting = v.InferOutput<typeof SettingSchema>;

/** The line that decides on a key; its value is never null. */
export type Decisive = Setting & { readonly value: string };

/**
 * The line that counts for a key, of lines in the order in which they are read; null: none sets it. As systemd-sysctl has it, the
 * last line that names the key counts, then the last pattern that fits, unless the key is kept out of patterns (sysctl.d(5)).
 */
export function settingOf(settings: readonly Setting[], key: string): Decisive | null {
  const own = settings.findLast((setting) => setting.key === key);
  if (own !== undefined) return isDecisive(own) ? own : null;
  return (
    settings.findLast((setting): setting is Decisive => isDecisive(setting) && fits(setting.key, key)) ?? null
  );
}

/** Of keys that are one switch to the kernel, the line that is read last. */
export function lastOf(settings: readonly Setting[], keys: readonly string[]): Decisive | null {
  const found = keys.map((key) => settingOf(settings, key));
  return settings.findLast((setting): setting is Decisive => found.some((one) => one === setting)) ?? null;
}

function isDecisive(setting: Setting): setting is Decisive {
  return setting.value !== null;
}

/** As glob(3) has it: no pattern reaches over a slash. */
function fits(pattern: string, key: string): boolean {
  const [parts, names] = [pattern.split("/"), key.split("/")];
  return parts.length === names.length && parts.every((part, place) => fitsGlob(part, names[place] ?? ""));
}

/** A key as sysctl(8) takes it: dots, and a slash for a dot in a link's name. */
export function dotted(key: string): string {
  return key.replace(/[./]/g, (mark) => (mark === "/" ? "." : "/"));
}

/** A line as evidence. */
export function formatSetting({ key, value, place }: Setting): string {
  return value === null ? `${place}: -${dotted(key)}` : `${place}: ${dotted(key)} = ${value}`;
}

/**
 * The command that makes a key another at the next boot: an administrator's line for this very key is changed; patterns, lines
 * of packages and of programs (/usr/lib, /run) are overruled by one that is read behind them.
 */
export function overruleSetting(setting: Setting, key: string, value: string): string {
  const [file = "", line = ""] = setting.place.split(/:(?=\d+$)/);
  return file.startsWith("/etc/") && setting.key === key
    ? `sed -i '${line}s/=.*/= ${value}/' ${file}  # ${dotted(key)}`
    : `echo '${dotted(key)} = ${value}' >> /etc/sysctl.d/99-zz-minicni.conf  # read behind ${setting.place}`;
}
