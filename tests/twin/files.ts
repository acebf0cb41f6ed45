import { readdirSync, readFileSync } from "node:fs";
import type { ObservedFile } from "../../src/plan/state.ts";
import type { Step } from "../../src/plan/step.ts";

/** How a symbolic link stands among the texts of files in memory. */
export const LINK = "-> ";

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

/** What is at a path in memory; every file can be run. */
export function observeMemory(files: ReadonlyMap<string, string>, path: string): ObservedFile | null {
  const text = files.get(path);
  if (text?.startsWith(LINK)) return { kind: "link", target: text.slice(LINK.length) };
  if (text !== undefined) return { kind: "file", bytes: text.length, mode: 0o755 };
  return listMemory(files, path).length > 0 ? { kind: "folder" } : null;
}

/** Does a change of files in memory; the message when it can't be done. Other steps are let by. */
export function applyFileStep(files: Map<string, string>, step: Step): string | null {
  switch (step.op) {
    case "file.install":
      files.set(step.to, files.get(step.from) ?? "");
      return null;
    case "file.launcher":
      files.set(step.to, new TextDecoder().decode(step.content));
      return null;
    case "file.link":
      if (files.has(step.path)) return `EEXIST: ${step.path}`;
      files.set(step.path, step.kind === "hard" ? (files.get(step.target) ?? "") : LINK + step.target);
      return null;
    case "file.rename": {
      const text = files.get(step.from);
      if (text === undefined) return `ENOENT: ${step.from}`;
      files.delete(step.from);
      files.set(step.to, text);
      return null;
    }
    case "file.remove":
      files.delete(step.path);
      return null;
    case "folder.remove":
      return listMemory(files, step.path).length > 0 ? `ENOTEMPTY: ${step.path}` : null;
    default:
      return null;
  }
}
