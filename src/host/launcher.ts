// Only what installs imports this: a CNI call has no use for it. As with the WASM modules, the files are assets embedded in
// the binary.
import { readFileSync } from "node:fs";
import amd64Path from "../../installer/launcher/build/launcher-amd64" with { type: "file" };
import arm64Path from "../../installer/launcher/build/launcher-arm64" with { type: "file" };
import { HostError } from "./errors.ts";

const PATHS: ReadonlyMap<string, string> = new Map([
  ["x64", amd64Path],
  ["arm64", arm64Path],
]);

/** The architectures there is a launcher for, as `process.arch` names them. */
export const LAUNCHER_ARCHITECTURES: readonly string[] = [...PATHS.keys()];

/**
 * The launcher for a CPU architecture: the program that stands as the plugin on a node, hands calls to the agent, and
 * executes the full binary beside it for everything else. Throws HostError for an architecture that has none.
 */
export function readLauncher(architecture: string): Uint8Array {
  const path = PATHS.get(architecture);
  if (path !== undefined) return readFileSync(path);
  throw new HostError(
    `there is no launcher for ${architecture}`,
    `minicni runs on ${LAUNCHER_ARCHITECTURES.join(" and ")}`,
  );
}
