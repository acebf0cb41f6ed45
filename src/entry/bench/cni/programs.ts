import { constants, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { readLauncher } from "../../../host/launcher.ts";

/** Our programs as a node has them, by their paths. */
export interface Programs {
  /** What a runtime executes. */
  readonly launcher: string;
  /** The binary beside it, for calls without an agent; the agent is the same binary. */
  readonly standalone: string;
}

/**
 * Puts the launcher and the binary into a folder that is made, as `minicni install` would. `self`: the command line that
 * runs this program. The binary is a copy: memory that it shares with the benchmark itself would count for half.
 */
export function installPrograms(self: readonly string[], folder: string): Programs {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [launcher, standalone] = [`${folder}/minicni`, `${folder}/minicni-standalone`];
  writeFileSync(launcher, readLauncher(process.arch), { mode: 0o700 });
  const [program = "", ...rest] = self;
  if (rest.length === 0) copyFileSync(program, standalone, constants.COPYFILE_FICLONE);
  // Run from sources it is two words, and a launcher executes but one.
  else writeFileSync(standalone, `#!/bin/sh\nexec ${self.map(quote).join(" ")} "$@"\n`, { mode: 0o700 });
  return { launcher, standalone };
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
