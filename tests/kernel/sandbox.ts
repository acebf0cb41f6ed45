import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

export type { Finished } from "./views.ts";

import { ServedPath, servesCalls } from "./served-path.ts";
import { type Finished, type LinkView, type ResultView, type RouteView, resultOf } from "./views.ts";

export const BINARY = process.env.MINICNI_BIN ?? `${import.meta.dir}/../../dist/minicni`;
export const NETWORK = "net1";
export const BRIDGE = "br0";
export const DUAL_RANGES = [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd00:7::/64" }]];
export const DEFAULT_ROUTES = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];

/** Which attachment: a container's ID, its namespace's path (empty: gone), its interface. */
export interface Pod {
  readonly id: string;
  readonly netns: string;
  readonly ifname?: string;
}

export type Variables = Readonly<Record<string, string>>;
export type Json = Readonly<Record<string, unknown>>;

/** More variables, and another command line than that of the plugin alone. */
export interface StartOptions {
  readonly env?: Variables;
  readonly argv?: readonly string[];
}

/** A call under way; a signal is SIGKILL unless named. */
export interface Started {
  readonly pid: number;
  kill(signal?: NodeJS.Signals): void;
  readonly done: Promise<Finished>;
}

export function run(argv: readonly string[], options: { stdin?: string; env?: Variables } = {}): Finished {
  const child = Bun.spawnSync({
    cmd: [...argv],
    env: { PATH: process.env.PATH, ...options.env },
    stdin: new TextEncoder().encode(options.stdin ?? ""),
    stdout: "pipe",
    stderr: "pipe",
  });
  return { exitCode: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() };
}

/** A command that has to succeed; returns its stdout. */
export function must(...argv: string[]): string {
  const done = run(argv);
  if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${done.exitCode}: ${done.stderr}`);
  return done.stdout;
}

const sandboxes = new Set<Sandbox>();
let counter = 0;

/** For afterAll: removes every sandbox of this file, whatever the tests did. */
export function destroySandboxes(): void {
  for (const sandbox of [...sandboxes]) sandbox.destroy();
}
process.on("exit", destroySandboxes);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

/** A node of its own: a network namespace with temp folders for the plugin's state; pods are further namespaces. */
export class Sandbox {
  readonly name = `mtest-${process.pid}-${++counter}`;
  readonly netns = `/run/netns/${this.name}`;
  readonly dir = mkdtempSync(`${tmpdir()}/mtest-`);
  readonly dataDir = `${this.dir}/data`;
  readonly stateDir = `${this.dir}/state`;
  /** Null: calls go to the binary itself. */
  readonly served: ServedPath | null;
  readonly #namespaces: string[] = [];
  readonly #mounts: string[] = [];
  #pods = 0;

  constructor() {
    sandboxes.add(this);
    this.#addNamespace(this.name);
    this.served = servesCalls() ? new ServedPath(this.netns, this.dir, this.stateDir) : null;
  }

  #addNamespace(name: string): string {
    must("ip", "netns", "add", name);
    this.#namespaces.push(name);
    must("ip", "-n", name, "link", "set", "lo", "up");
    return `/run/netns/${name}`;
  }

  pod(): Pod {
    const id = `pod${++this.#pods}`;
    return { id, netns: this.#addNamespace(`${this.name}-${id}`) };
  }

  pods(count: number): Pod[] {
    return Array.from({ length: count }, () => this.pod());
  }

  removePod(pod: Pod): void {
    must("ip", "netns", "del", pod.netns.replace("/run/netns/", ""));
  }

  /** A tmpfs that is read-only, at a path below our folder. */
  mountReadOnly(path: string): void {
    this.mountTmpfs(path, "ro");
  }

  /** A tmpfs with the given mount options (`size=8k`), at a path below our folder that is made. */
  mountTmpfs(path: string, options: string): void {
    // An agent has its sockets before a disk is full.
    this.served?.agent();
    mkdirSync(path, { recursive: true });
    must("mount", "-t", "tmpfs", "-o", options, "none", path);
    this.#mounts.push(path);
  }

  conf(overrides: Json = {}, ipam: Json = {}): Json {
    return {
      cniVersion: "1.1.0",
      name: NETWORK,
      type: "minicni",
      bridge: BRIDGE,
      stateDir: this.stateDir,
      ipam: { dataDir: this.dataDir, ranges: DUAL_RANGES, routes: DEFAULT_ROUTES, ...ipam },
      ...overrides,
    };
  }

  variables(command: string, pod: Pod, env: Variables = {}): Variables {
    return {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.id,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: pod.ifname ?? "eth0",
      CNI_PATH: "/opt/cni/bin",
      ...env,
    };
  }

  argv(...args: string[]): string[] {
    if (this.served !== null && args.length === 0) return this.served.argv();
    return ["/usr/bin/nsenter", `--net=${this.netns}`, BINARY, ...args];
  }

  call(command: string, pod: Pod, conf: Json | string = this.conf(), env: Variables = {}): Finished {
    const stdin = typeof conf === "string" ? conf : JSON.stringify(conf);
    return run(this.served?.argv(env) ?? this.argv(), { stdin, env: this.variables(command, pod, env) });
  }

  add(pod: Pod, conf: Json = this.conf(), env: Variables = {}): ResultView {
    return resultOf(this.call("ADD", pod, conf, env));
  }

  /** Starts a call that runs beside others; the caller may kill it. */
  start(command: string, pod: Pod, conf: Json = this.conf(), options: StartOptions = {}): Started {
    const child = Bun.spawn({
      cmd: [...(options.argv ?? this.served?.argv(options.env) ?? this.argv())],
      env: { PATH: process.env.PATH, ...this.variables(command, pod, options.env) },
      stdin: new TextEncoder().encode(JSON.stringify(conf)),
      stdout: "pipe",
      stderr: "pipe",
    });
    const done = (async () => {
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      return { exitCode: await child.exited, stdout, stderr };
    })();
    return { pid: child.pid, kill: (signal = "SIGKILL") => child.kill(signal), done };
  }

  /** Waits for what an agent still does for calls whose caller is gone. */
  async settled(): Promise<void> {
    await this.served?.settled();
  }

  node(...argv: string[]): string {
    return must("nsenter", `--net=${this.netns}`, ...argv);
  }

  links(netns = this.netns): LinkView[] {
    const links: LinkView[] = JSON.parse(must("nsenter", `--net=${netns}`, "ip", "-j", "-d", "addr", "show"));
    return links;
  }

  /** One link; throws when there is none. */
  link(name: string, netns = this.netns): LinkView {
    const found = this.links(netns).find(({ ifname }) => ifname === name);
    if (found === undefined) throw new Error(`no link ${name} in ${netns}`);
    return found;
  }

  routes(netns: string, family: 4 | 6): RouteView[] {
    const text = must("nsenter", `--net=${netns}`, "ip", "-j", `-${family}`, "route", "show");
    const routes: RouteView[] = JSON.parse(text.trim() === "" ? "[]" : text);
    return routes;
  }

  hostVeths(): string[] {
    return this.links().flatMap(({ ifname }) => (ifname.startsWith("mcni") ? [ifname] : []));
  }

  /** Names of the reservation files: those that begin like an address. */
  reservations(network = NETWORK): string[] {
    return list(`${this.dataDir}/${network}`).filter((name) => /^[0-9a-f]+[.:]/.test(name));
  }

  records(network = NETWORK): string[] {
    return list(`${this.stateDir}/attachments/${network}`);
  }

  /** What a failed call or the last DEL has to leave: all empty. */
  leftovers(): { links: string[]; reservations: string[]; records: string[] } {
    return { links: this.hostVeths(), reservations: this.reservations(), records: this.records() };
  }

  natRules(family: 4 | 6): string[] {
    const tool = family === 4 ? "iptables-save" : "ip6tables-save";
    return this.node(tool, "-t", "nat")
      .split("\n")
      .filter((line) => line.includes("MINICNI"));
  }

  pings(netns: string, address: string): boolean {
    const words = ["ping", "-c", "1", "-W", "2", "-q", address];
    return run(["nsenter", `--net=${netns}`, ...words]).exitCode === 0;
  }

  destroy(): void {
    sandboxes.delete(this);
    this.served?.destroy();
    for (const path of this.#mounts) run(["umount", "-l", path]);
    for (const name of [...this.#namespaces].reverse()) run(["ip", "netns", "del", name]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const NOTHING = { links: [], reservations: [], records: [] };

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

export function read(path: string): string {
  return readFileSync(path, "utf8");
}
