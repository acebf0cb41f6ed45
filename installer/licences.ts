import { existsSync, readdirSync, readFileSync } from "node:fs";

/** A package of the lock file: where it is installed, and what npm says of it. */
interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  /** Of these the lock file has what a package can do without, for other platforms too; none is in the binary. */
  readonly optional?: boolean;
  readonly devOptional?: boolean;
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/**
 * Names of what is in the binary though the lock file has it for development: the runtime, which is a package for each
 * platform, and the library of the WASM modules.
 */
export const BUILT_IN: readonly RegExp[] = [/^bun$/, /^@oven\/bun-linux-(x64|aarch64)$/, /^assemblyscript$/];
const TEXT = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;
/** A package without a text of its own has the name of its licence, and this for where to find out. */
const NO_TEXT = "(The package has no file with the text.)";

/**
 * Licences of all that the binary may hold, for the image: each package that the product needs, with its texts from
 * `root`/node_modules. In the lock file's order, so that it is the same each time, on every machine.
 */
export function describeLicences(root: string, lock: Lock): string {
  return Object.entries(lock.packages)
    .filter(([path, locked]) => path !== "" && isShipped(nameOf(path), locked))
    .map(([path, { version, license }]) => {
      const texts = readTexts(`${root}/${path}`);
      return `${nameOf(path)} ${version}: ${license ?? "licence not named"}\n\n${texts || NO_TEXT}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

function nameOf(path: string): string {
  return path.replace(/^.*node_modules\//, "");
}

function isShipped(name: string, { dev, optional, devOptional }: LockedPackage): boolean {
  return BUILT_IN.some((pattern) => pattern.test(name)) || !(dev || optional || devOptional);
}

function readTexts(folder: string): string {
  if (!existsSync(folder)) return "";
  const names = readdirSync(folder).filter((name) => TEXT.test(name));
  return names
    .sort()
    .map((name) => readFileSync(`${folder}/${name}`, "utf8").trim())
    .join("\n\n");
}
