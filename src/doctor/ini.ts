/** One setting of a file with sections, as systemd and NetworkManager have them. */
export interface IniSetting {
  readonly section: string;
  readonly key: string;
  readonly value: string;
}

/** The settings of a text in order; comments and lines that are none are left out (systemd.syntax(7)). */
export function parseIni(text: string): IniSetting[] {
  const settings: IniSetting[] = [];
  let section = "";
  for (const raw of text.replace(/\\\n/g, " ").split("\n")) {
    const line = raw.trim();
    const header = /^\[(.+)\]$/.exec(line)?.[1];
    if (header !== undefined) section = header;
    else if (!/^[#;]/.test(line) && line.includes("=")) {
      const at = line.indexOf("=");
      settings.push({ section, key: line.slice(0, at).trim(), value: line.slice(at + 1).trim() });
    }
  }
  return settings;
}

/** The words of systemd and NetworkManager for yes; null: neither yes nor no. */
export function parseSwitch(value: string): boolean | null {
  if (/^(1|yes|y|true|t|on)$/i.test(value)) return true;
  return /^(0|no|n|false|f|off)$/i.test(value) ? false : null;
}

/** Whether a name fits a pattern of fnmatch(3): `*`, `?`, `[a-z]`, `[!a-z]`. */
export function fitsGlob(pattern: string, name: string): boolean {
  const parts = pattern.match(/\[[!^]?\]?[^\]]*\]|[\s\S]/g) ?? [];
  const source = parts.map((part) => {
    if (part === "*") return ".*";
    if (part === "?") return ".";
    if (part.length > 2)
      return `[${part
        .slice(1, -1)
        .replace(/^!/, "^")
        .replace(/[\\[\]]/g, "\\$&")}]`;
    return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${source.join("")}$`).test(name);
}
