import { folderOf } from "../host/files.ts";
import { readLauncher } from "../host/launcher.ts";
import type { Host } from "../host/machine.ts";
import { HOST, type Step } from "../plan/step.ts";
import { tellFailure } from "./install/failure.ts";
import { LOCK_TIMEOUT_MS } from "./install/index.ts";
import { createLauncherCommand, type LauncherSettings, parse } from "./install/options.ts";
import { isFolder } from "./read.ts";

/**
 * `minicni launcher --out FILE`: what a printed plan of `install` names where it writes the launcher. Returns the exit
 * code: 0 written, 1 failed, 2 misused.
 */
export async function runLauncher(
  args: readonly string[],
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  const settings = await parse<LauncherSettings>(createLauncherCommand(), args, host, { print, width: null });
  if (typeof settings === "number") return settings;
  const { out, arch } = settings;
  try {
    const content = readLauncher(arch);
    const step: Step = {
      op: "file.launcher",
      content,
      to: out,
      mode: 0o755,
      netns: HOST,
      why: `launcher for ${arch}`,
    };
    const work = () => host.execute([step]);
    const folder = folderOf(out);
    // An installer at work there would write the same temp file.
    await (isFolder(folder, host) ? host.withLock(folder, LOCK_TIMEOUT_MS, work) : work());
    return 0;
  } catch (error) {
    return tellFailure("launcher", error, host);
  }
}
