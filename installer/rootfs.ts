import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, posix } from "node:path";
import { type Architecture, type DebianPackage, fetchPackages } from "./debian.ts";
import { type Elf, parseElf } from "./elf.ts";

/** What the agent and the plugin spawn (ip, bridge, iptables of both kinds, nft), names, licences. */
const PACKAGES = ["iproute2", "iptables", "nftables", "base-files", "netbase"];
const WANTED = [
  /^usr\/bin\/ip$/,
  /^usr\/sbin\/(ip|bridge|nft)$/,
  /^usr\/sbin\/ip6?tables-(nft|legacy)(-save|-restore)?$/,
  /^usr\/lib\/[^/]+\/xtables\/lib(xt|ipt|ip6t)_[^/]+\.so$/,
  /^etc\/iproute2\/[^/]+$/,
  /^etc\/(protocols|os-release)$/,
  /^usr\/share\/common-licenses\/(GPL-2|GPL-3|LGPL-2|LGPL-2\.1|LGPL-3|Apache-2\.0)$/,
];
/** The plain names are links of update-alternatives on Debian, made when the package is set up; there nft comes first. */
const LINKS: readonly (readonly [path: string, target: string])[] = [
  ...["bin", "sbin", "lib", "lib64"].map((name) => [name, `usr/${name}`] as const),
  ...["iptables", "ip6tables"].flatMap((name) =>
    ["", "-save", "-restore"].map((verb) => [`usr/sbin/${name}${verb}`, "xtables-nft-multi"] as const),
  ),
  // As on the node: containerd names the namespaces of pods below /var/run/netns, and /run/netns is what is mounted.
  ["var/run", "../run"],
];
const TEXTS: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/:/usr/local/bin/minicni\n",
  "etc/group": "root:x:0:\n",
  // Without it glibc asks the name server first and never looks into /etc/hosts when that answers.
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\n",
};
/** Mount points, there beforehand so that a runtime needs to write nothing into a read-only root. */
const FOLDERS = [
  "dev",
  "etc/cni/net.d",
  "host/proc/sys/net",
  "opt/cni/bin",
  "proc",
  "run/minicni",
  "run/netns",
  "run/secrets",
  "sys",
  "tmp",
  "usr/local/bin",
  "usr/lib64",
  "var/lib/cni",
  "var/lib/minicni",
];

interface Origin {
  readonly path: string;
  readonly package: DebianPackage;
}

/**
 * Makes the root file system of the image but for minicni itself in `${folder}/rootfs`. `binary` is the minicni of this
 * architecture: its libraries come along. Throws when a file is of another machine or a library has no package.
 */
export function buildRootfs(folder: string, architecture: Architecture, binary: string): void {
  const packages = fetchPackages(folder, architecture, PACKAGES);
  const files = new Map<string, Origin>();
  for (const each of packages)
    for (const path of walk(each.root))
      files.set(merged(path), { path: `${each.root}/${path}`, package: each });
  const root = `${folder}/rootfs`;
  rmSync(root, { recursive: true, force: true });
  const taken = new Map<string, Origin>();
  const elf = readElf(binary, architecture);
  const queue = [...files.keys()].filter((path) => WANTED.some((pattern) => pattern.test(path)));
  if (elf !== null) queue.push(...wants(elf, "minicni", files));
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const origin = files.get(path);
    if (origin === undefined) throw new Error(`${path} is in none of the packages`);
    if (taken.has(path)) continue;
    taken.set(path, origin);
    queue.push(...follow(path, origin, architecture, files));
  }
  for (const path of FOLDERS) mkdirSync(`${root}/${path}`, { recursive: true });
  for (const [path, origin] of taken) put(root, path, origin.path);
  for (const [path, target] of LINKS) symlinkSync(target, `${root}/${path}`);
  for (const [path, text] of Object.entries(TEXTS)) write(root, path, text);
  chmodSync(`${root}/tmp`, 0o1777);
  describePackages(root, files, new Set([...taken.values()].map((origin) => origin.package)));
}

/** What must be there besides for this file to be of use: a link's target, a program's libraries. */
function follow(
  path: string,
  origin: Origin,
  architecture: Architecture,
  files: ReadonlyMap<string, Origin>,
): string[] {
  if (lstatSync(origin.path).isSymbolicLink()) {
    const target = readlinkSync(origin.path);
    return [merged(posix.resolve("/", dirname(path), target).slice(1))];
  }
  const elf = readElf(origin.path, architecture);
  return elf === null ? [] : wants(elf, path, files);
}

function wants({ needed, interpreter }: Elf, path: string, files: ReadonlyMap<string, Origin>): string[] {
  const libraries = needed.map((soname) => {
    const found = [...files.keys()].find((file) => isLibrary(file, soname));
    if (found === undefined) throw new Error(`${path} needs ${soname}, which is in none of the packages`);
    return found;
  });
  return interpreter === null ? libraries : [...libraries, merged(interpreter.slice(1))];
}

/** Where ld.so of Debian looks without a cache: the folder of the architecture, and the plain one. */
function isLibrary(file: string, soname: string): boolean {
  return file.endsWith(`/${soname}`) && /^usr\/lib(64)?(\/[a-z0-9_]+-linux-gnu)?\/[^/]+$/.test(file);
}

function readElf(path: string, architecture: Architecture): Elf | null {
  const elf = parseElf(readFileSync(path));
  if (elf !== null && elf.machine !== architecture)
    throw new Error(`${path} is for ${elf.machine}, not for ${architecture}`);
  return elf;
}

/** Debian 12 still has files in /bin, /sbin and /lib; all of them are in /usr of a machine, and so here. */
function merged(path: string): string {
  return path.replace(/^(bin|sbin|lib|lib64)\//, "usr/$1/");
}

function walk(root: string, below = ""): string[] {
  return readdirSync(`${root}/${below}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${below}${entry.name}`;
    return entry.isDirectory() ? walk(root, `${path}/`) : [path];
  });
}

function put(root: string, path: string, from: string): void {
  const to = `${root}/${path}`;
  mkdirSync(dirname(to), { recursive: true });
  const status = lstatSync(from);
  if (status.isSymbolicLink()) {
    symlinkSync(readlinkSync(from), to);
    return;
  }
  copyFileSync(from, to);
  chmodSync(to, status.mode & 0o111 ? 0o755 : 0o644);
}

function write(root: string, path: string, text: string): void {
  mkdirSync(dirname(`${root}/${path}`), { recursive: true });
  writeFileSync(`${root}/${path}`, text, { mode: 0o644 });
}

/**
 * One paragraph for each package that something was taken from, where scanners of vulnerabilities look in images
 * without dpkg's own list, and its copyright file.
 */
function describePackages(
  root: string,
  files: ReadonlyMap<string, Origin>,
  used: ReadonlySet<DebianPackage>,
): void {
  const sorted = [...used].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, control } of sorted) {
    write(root, `var/lib/dpkg/status.d/${name}`, `${control}\n`);
    const copyright = `usr/share/doc/${name}/copyright`;
    const origin = files.get(copyright);
    // Some packages have the folder of another one there, by a link.
    const shared = files.get(`usr/share/doc/${name}`);
    if (origin !== undefined && existsSync(origin.path)) put(root, copyright, origin.path);
    else if (shared !== undefined)
      put(root, copyright, files.get(`usr/share/doc/${readlinkSync(shared.path)}/copyright`)?.path ?? "");
    else throw new Error(`${name} has no copyright file`);
  }
  const lines = sorted.map(({ name, version, architecture }) => `${name} ${version} ${architecture}\n`);
  write(root, "usr/share/minicni/packages.txt", lines.join(""));
}
