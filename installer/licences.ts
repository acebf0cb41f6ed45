import { existsSync, readdirSync, readFileSync } from "node:fs";

/** A package of the lock file: where it is installed, and what npm says of it. */
interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** What is in the binary though the lock file has it for development: the runtime, and the library of the WASM modules. */
const BUILT_IN = ["node_modules/bun", "node_modules/assemblyscript"];
const TEXT = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;
/** A package without a text of its own has the name of its licence, and this for where to find out. */
const NO_TEXT = "(The package has no file with the text.)";

/**
 * Licences of all that the binary may hold, for the image: each package that is not for development only, with its texts
 * from `root`/node_modules. Optional ones that are not installed have their licence's name. In the lock file's order, so
 * that it is the same each time.
 */
export function describeLicences(root: string, lock: Lock): string {
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== "" && (dev !== true || BUILT_IN.includes(path)))
    .map(([path, { version, license }]) => {
      const name = path.replace(/^.*node_modules\//, "");
      const texts = readTexts(`${root}/${path}`);
      return `${name} ${version}: ${license ?? "licence not named"}\n\n${texts || NO_TEXT}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

function readTexts(folder: string): string {
  if (!existsSync(folder)) return "";
  const names = readdirSync(folder).filter((name) => TEXT.test(name));
  return names
    .sort()
    .map((name) => readFileSync(`${folder}/${name}`, "utf8").trim())
    .join("\n\n");
}
