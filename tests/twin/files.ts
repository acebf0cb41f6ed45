import { readdirSync, readFileSync } from "node:fs";

/** Text of a file on the disk; null when it can't be read. */
export function readReal(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** Names in a folder on the disk; none when it can't be read. */
export function listReal(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Names in a folder of files in memory. */
export function listMemory(files: ReadonlyMap<string, string>, path: string): string[] {
  const inside = [...files.keys()].filter((file) => file.startsWith(`${path}/`));
  return [...new Set(inside.map((file) => file.slice(path.length + 1).split("/")[0] ?? ""))];
}
