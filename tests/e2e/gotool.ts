import { mkdirSync } from "node:fs";

const CACHE = `${import.meta.dir}/../../node_modules/.cache/minicni-tools`;
const BUILD_TIMEOUT_MS = 120_000;

/** A program's path, or why there is none. */
export type Tool =
  | { readonly path: string; readonly fault?: undefined }
  | { readonly path?: undefined; readonly fault: string };

/**
 * A program that is no Debian package: from the variable (`CNITOOL` for cnitool), from PATH, or built once by Go into
 * a cache folder.
 */
export async function goTool(name: string, module: string): Promise<Tool> {
  const given = process.env[name.toUpperCase()] || Bun.which(name);
  if (given) return { path: given };
  const path = `${CACHE}/${name}`;
  if (await Bun.file(path).exists()) return { path };
  const go = Bun.which("go") ?? Bun.which("/usr/local/go/bin/go");
  if (go === null) return { fault: `no ${name} in PATH, and no Go to build it with` };
  mkdirSync(CACHE, { recursive: true });
  const build = Bun.spawn([go, "install", module], {
    env: { ...process.env, GOBIN: CACHE, CGO_ENABLED: "0" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: BUILD_TIMEOUT_MS,
  });
  const said = await new Response(build.stderr).text();
  if ((await build.exited) === 0) return { path };
  return { fault: `go install ${module} failed: ${said.trim() || `not within ${BUILD_TIMEOUT_MS} ms`}` };
}
