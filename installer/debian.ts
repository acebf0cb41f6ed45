import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";

/** As Debian and OCI both call them. */
export type Architecture = "amd64" | "arm64";

/** A package whose files lie in a folder of their own. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** What it was built for: that of the image, or `all`. */
  readonly architecture: string;
  /** Its paragraph of /var/lib/dpkg/status, without the trailing newline. */
  readonly control: string;
  readonly root: string;
}

const TIMEOUT_MS = 300_000;

/** Runs a program to its end and hands out what it wrote; throws with its last words when it failed. */
export function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const child = Bun.spawnSync({
    cmd: [...argv],
    env: { ...process.env, ...env, LC_ALL: "C" },
    timeout: TIMEOUT_MS,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (child.exitCode === 0) return child.stdout.toString();
  throw new Error(`\`${argv.join(" ")}\` failed: ${child.stderr.toString().trim() || "it took too long"}`);
}

/**
 * Downloads packages of an architecture with all they depend on and unpacks each into `folder`. apt gets a state of its
 * own there: this machine's architectures, lists, cache and installed packages are neither used nor changed. The sources
 * and keys are this machine's.
 */
export function fetchPackages(
  folder: string,
  architecture: Architecture,
  names: readonly string[],
): DebianPackage[] {
  const apt = `${folder}/apt`;
  const archives = `${apt}/cache/archives`;
  for (const old of [archives, `${apt}/state/lists`, `${folder}/packages`])
    rmSync(old, { recursive: true, force: true });
  for (const path of [
    `${archives}/partial`,
    `${apt}/state/lists/partial`,
    `${apt}/log`,
    `${folder}/packages`,
  ])
    mkdirSync(path, { recursive: true });
  writeFileSync(`${apt}/status`, "");
  writeFileSync(`${apt}/apt.conf`, aptConfiguration(apt, architecture));
  const env = { APT_CONFIG: `${apt}/apt.conf`, DEBIAN_FRONTEND: "noninteractive" };
  // A source that has nothing for this architecture fails; what is missing then, the next call says.
  const update = Bun.spawnSync({
    cmd: ["apt-get", "update", "-qq"],
    env: { ...process.env, ...env },
    timeout: TIMEOUT_MS,
  });
  try {
    run(["apt-get", "install", "-y", "-qq", "--download-only", "--no-install-recommends", ...names], env);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${update.stderr.toString()}`);
  }
  return readdirSync(archives)
    .filter((name) => name.endsWith(".deb"))
    .sort()
    .map((name) => unpack(`${archives}/${name}`, `${folder}/packages`));
}

function unpack(deb: string, folder: string): DebianPackage {
  const control = run(["dpkg-deb", "--field", deb]).trimEnd();
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1] ?? "";
  const name = field("Package");
  run(["dpkg-deb", "--extract", deb, `${folder}/${name}`]);
  const [version, architecture] = [field("Version"), field("Architecture")];
  return { name, version, architecture, control, root: `${folder}/${name}` };
}

/** The machine's own files of settings are not read: they may hold hooks; of its settings those of transport count. */
function aptConfiguration(apt: string, architecture: Architecture): string {
  const transport = run(["apt-config", "dump"])
    .split("\n")
    .filter((line) => line.startsWith("Acquire::") && !line.startsWith("Acquire::IndexTargets"));
  return [
    ...transport,
    'Dir::Etc::parts "/dev/null";',
    'Dir::Etc::main "/dev/null";',
    `Dir::State "${apt}/state";`,
    `Dir::State::status "${apt}/status";`,
    `Dir::Cache "${apt}/cache";`,
    `Dir::Log "${apt}/log";`,
    `APT::Architecture "${architecture}";`,
    `APT::Architectures { "${architecture}"; };`,
    // The folder may lie where apt's own user can't look.
    'APT::Sandbox::User "";',
    'Acquire::Languages "none";',
    "",
  ].join("\n");
}
