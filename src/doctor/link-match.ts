import { fitsGlob, type IniSetting, parseIni, parseSwitch } from "./ini.ts";

/** A link of ours, as those see it who match links. */
export interface MatchedLink {
  readonly name: string;
  /** `bridge`, `vxlan`, `veth`. */
  readonly kind: string;
}

/** What no virtual link of ours has. */
const NEVER = /^(MACAddress|PermanentMACAddress|Path|Property|WLANInterfaceType|SSID|BSSID|OriginalName)$/;

/** Whether a `.network` file is for this link (systemd.network(5), "[Match]"); without a condition it is for all. */
export function matchesNetworkFile(text: string, { name, kind }: MatchedLink): boolean {
  const conditions = new Map<string, string>();
  for (const { section, key, value } of parseIni(text)) {
    if (section !== "Match") continue;
    // Given again it adds to the list; empty it begins anew.
    const before = conditions.get(key);
    if (value === "") conditions.delete(key);
    else conditions.set(key, before === undefined ? value : `${before} ${value}`);
  }
  return [...conditions].every(([key, value]) => {
    if (key === "Name") return fitsList(value, name);
    // udev knows no DEVTYPE of a veth, which is an Ethernet device then.
    if (key === "Type") return fitsList(value, kind === "veth" ? "ether" : kind);
    if (key === "Kind" || key === "Driver") return fitsList(value, kind);
    // The rest is of the machine (Host, Virtualization, KernelVersion, …): it may hold.
    return !NEVER.test(key);
  });
}

function fitsList(value: string, name: string): boolean {
  const isNegated = value.startsWith("!");
  const patterns = value.replace(/^!/, "").split(/\s+/);
  return patterns.some((pattern) => fitsGlob(pattern, name)) !== isNegated;
}

/** Whether the file says that networkd keeps its hands off what it matches. */
export function leavesLinksAlone(text: string): boolean {
  const set = parseIni(text).filter(({ section, key }) => section === "Link" && key === "Unmanaged");
  return parseSwitch(set.at(-1)?.value ?? "no") === true;
}

/** Whether NetworkManager's settings, in the order in which they count, leave a link alone (NetworkManager.conf(5)). */
export function isUnmanaged(settings: readonly IniSetting[], link: MatchedLink): boolean {
  let list = "";
  const devices = new Map<string, { match: string; managed: boolean }>();
  for (const { section, key, value } of settings) {
    if (section === "keyfile" && key === "unmanaged-devices") list = value;
    if (section === "keyfile" && key === "unmanaged-devices+") list = `${list};${value}`;
    if (!section.startsWith("device")) continue;
    const known = devices.get(section) ?? { match: "*", managed: true };
    if (key === "match-device") devices.set(section, { ...known, match: value });
    if (key === "managed") devices.set(section, { ...known, managed: parseSwitch(value) ?? true });
  }
  if (fitsSpecs(list, link)) return true;
  return [...devices.values()].some(({ match, managed }) => !managed && fitsSpecs(match, link));
}

/** A device list: any of the specs, and none of those behind `except:`. */
function fitsSpecs(list: string, link: MatchedLink): boolean {
  const specs = list.split(/[;,]/).map((spec) => spec.trim());
  const fits = (spec: string) => spec !== "" && fitsSpec(spec, link);
  const excepted = specs.flatMap((spec) =>
    spec.startsWith("except:") ? [spec.slice("except:".length)] : [],
  );
  return specs.some((spec) => !spec.startsWith("except:") && fits(spec)) && !excepted.some(fits);
}

function fitsSpec(spec: string, { name, kind }: MatchedLink): boolean {
  if (spec === "*") return true;
  const [, what = "", rest = ""] = /^([a-z-]+):(.*)$/.exec(spec) ?? [];
  if (what === "interface-name") {
    return rest.startsWith("=") ? rest.slice(1) === name : fitsGlob(rest.replace(/^~/, ""), name);
  }
  return (what === "type" || what === "driver") && (rest === "*" || rest === kind);
}
