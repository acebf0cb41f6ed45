import { posix } from "node:path";

/** One file of the project, its path from the project's root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A rule of the house: what offends it, and why it is there. */
export interface Rule {
  readonly name: string;
  readonly reason: string;
  readonly offences: (file: SourceFile) => string[];
}

/** DESIGN §4: a room and the rooms it may import; `entry` may import all. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  net: [],
  cni: ["net"],
  ipam: ["net"],
  plan: ["net"],
  topology: ["net", "cni", "ipam", "plan"],
  wasm: ["net", "ipam", "plan"],
  host: ["net", "plan", "ipam"],
  kube: ["net"],
  doctor: ["net", "cni", "ipam", "plan", "topology"],
  entry: ["net", "cni", "ipam", "plan", "topology", "wasm", "host", "kube", "doctor"],
};

/** What may take its time: it is no CNI call. */
const LAB = /^src\/entry\/(lab|agent|bench|install|admin|doctor|output)\//;

/** Who may import a package; `dynamic`: places where only `await import()` is allowed. */
const PACKAGES: readonly { readonly of: RegExp; readonly places: RegExp; readonly dynamic?: RegExp }[] = [
  { of: /^valibot$/, places: /^src\/(cni|host|kube|doctor|entry\/(lab|agent|bench|admin|doctor))\// },
  { of: /^(commander|ip-cidr)$/, places: LAB, dynamic: /^src\/entry\// },
  // Its one file with the kubeconfig: the whole package would bring every API type there is into memory.
  { of: /^@kubernetes\/client-node/, places: /^src\/kube\// },
  { of: /^prom-client$/, places: /^src\/entry\/agent\// },
  { of: /^tinybench$/, places: /^src\/entry\/bench\// },
  { of: /^bun:ffi$/, places: /^src\/host\// },
  {
    of: /^node:/,
    places:
      /^src\/(host\/|kube\/|wasm\/module\.ts$|entry\/main\.ts$|entry\/admin\/plan\/attach\.ts$|entry\/(lab|bench)\/)/,
  },
];

/** What outside of src is embedded in the binary, each by the one file that may import it. */
const ASSETS: Readonly<Record<string, RegExp>> = {
  "src/wasm/module.ts": /^wasm\/build\/(minicni|routes)\.wasm$/,
  "src/host/launcher.ts": /^installer\/launcher\/build\/launcher-(amd64|arm64)$/,
};

interface Import {
  readonly from: string;
  readonly isDynamic: boolean;
}

/** Everything a module imports, types included. */
export function importsOf(text: string): Import[] {
  const pattern = /\bfrom\s*["']([^"']+)["']|\bimport\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;
  return [...withoutComments(text).matchAll(pattern)].map(([, from, bare, dynamic]) => ({
    from: from ?? bare ?? dynamic ?? "",
    isDynamic: dynamic !== undefined,
  }));
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

function withoutStrings(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`$]*`/g, '""');
}

const isSource = (path: string) => path.startsWith("src/");
const isScript = (path: string) => /^(src|tests)\/.*\.ts$/.test(path);
const roomOf = (path: string) => path.split("/")[1] ?? "";

function roomOffences({ path, text }: SourceFile): string[] {
  if (!isSource(path)) return [];
  const room = roomOf(path);
  const allowed = ROOMS[room];
  if (allowed === undefined) return [`${path}: src/${room} is no room of DESIGN §4`];
  return importsOf(text).flatMap(({ from }) => {
    if (!from.startsWith(".")) return [];
    const target = posix.join(posix.dirname(path), from);
    if (ASSETS[path]?.test(target) === true) return [];
    if (!isSource(target)) return [`${path} imports ${target}, outside of src`];
    const other = roomOf(target);
    return other === room || allowed.includes(other) ? [] : [`${path} imports ${target}`];
  });
}

function packageOffences({ path, text }: SourceFile): string[] {
  if (!isSource(path)) return [];
  return importsOf(text).flatMap(({ from, isDynamic }) => {
    if (from.startsWith(".")) return [];
    const known = PACKAGES.find(({ of }) => of.test(from));
    if (known === undefined) return [`${path} imports ${from}, which no room may`];
    if (known.places.test(path) || (isDynamic && known.dynamic?.test(path) === true)) return [];
    return [`${path} imports ${from}${isDynamic ? "" : " statically"}`];
  });
}

/** A rule that forbids a pattern in the code of src, comments apart. */
function forbid(name: string, pattern: RegExp, reason: string, exempt = /^$/): Rule {
  return {
    name,
    reason,
    offences: ({ path, text }) =>
      isSource(path) && !exempt.test(path) && pattern.test(withoutStrings(withoutComments(text)))
        ? [`${path} has ${name}`]
        : [],
  };
}

export const MAX_LINES = 250;

export const RULES: readonly Rule[] = [
  {
    name: "import directions",
    reason: "deciding stays pure and doing stays in one room only while rooms import downwards (DESIGN §4)",
    offences: roomOffences,
  },
  {
    name: "packages by room",
    reason:
      "the CNI path pays for each import in milliseconds, and only host/ may touch the machine (DESIGN §6)",
    offences: packageOffences,
  },
  forbid(
    "console.",
    /\bconsole\s*\./,
    "stdout belongs to the one JSON document; people are told by host.log",
  ),
  forbid("any", /:\s*any\b|\bas\s+any\b|<any\b/, "any switches the compiler off for whatever it touches"),
  forbid(
    "Bun.spawn",
    /\bBun\s*\.\s*spawn/,
    "children are run by host/ only: a test's machine must see each",
    /^src\/host\//,
  ),
  forbid(
    "process.stdout",
    /\bprocess\s*\.\s*stdout\b/,
    "any use costs 15 ms: write with fs.writeSync (DESIGN §6)",
    LAB,
  ),
  {
    name: "open ends",
    reason: "what is left to do belongs into an issue, where somebody looks for it",
    offences: ({ path, text }) => {
      const mark = isSource(path) ? /\b(TODO|FIXME)\b/.exec(text) : null;
      return mark === null ? [] : [`${path} has ${mark[0]}`];
    },
  },
  {
    name: "file length",
    reason: `a file of more than ${MAX_LINES} lines holds more than one thing: split it by what it is about`,
    offences: ({ path, text }) => {
      const lines = text.replace(/\n$/, "").split("\n").length;
      return isScript(path) && lines > MAX_LINES ? [`${path} has ${lines} lines`] : [];
    },
  },
  {
    name: "names",
    reason: "utils, helpers, common and manager say nothing about what is inside",
    offences: ({ path }) => {
      const word = path
        .split("/")
        .find((part) => /^(utils?|helpers?|common|managers?)$/i.test(part.split(".")[0] ?? ""));
      return word === undefined ? [] : [`${path}: ${word}`];
    },
  },
  {
    name: "lock file",
    reason:
      "a registry's address in the lock file ties every install to that host (and may leak a mirror's name)",
    offences: ({ path, text }) => {
      if (path !== "package-lock.json") return [];
      const urls = text.matchAll(
        /"resolved":\s*"(https?:[^"]+)"|"(https?:\/\/[^"/]*(?:registry|npmjs|yarnpkg|npmmirror)[^"]*)"/g,
      );
      return [...urls].map(([, resolved, other]) => `${path} has ${resolved ?? other}`);
    },
  },
];
