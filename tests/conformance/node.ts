import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

/** A JSON object we send or look into. */
export type Json = Readonly<Record<string, unknown>>;
/** Environment variables; `undefined` takes one away that would be there by default. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What a finished program left; the exit code is -1 when it had to be killed. */
export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Which attachment: container ID, path of its namespace, interface name. */
export interface Pod {
  readonly id: string;
  readonly netns: string;
  readonly ifname: string;
}

/** One link as `ip -j -d addr` tells it. */
export interface Link {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly scope: string }[];
}

/** After this a call counts as hanging; far above anything a plugin takes. */
export const PATIENCE = 30_000;

/** Runs a program to its end. */
export function run(argv: readonly string[], stdin = "", env: Variables = {}): Finished {
  const child = Bun.spawnSync({
    cmd: [...argv],
    env: { PATH: process.env.PATH, ...env },
    stdin: new TextEncoder().encode(stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: PATIENCE,
    killSignal: "SIGKILL",
  });
  return {
    exitCode: child.exitedDueToTimeout === true ? -1 : child.exitCode,
    stdout: child.stdout.toString(),
    stderr: child.stderr.toString(),
  };
}

/** A command that has to succeed; returns its stdout. */
export function must(...argv: string[]): string {
  const done = run(argv);
  if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${done.exitCode}: ${done.stderr}`);
  return done.stdout;
}

const nodes = new Set<Node>();
const folders = new Set<string>();
let counter = 0;

/** Removes all that is left, whatever the tests did: for afterAll and the end of the process. */
export function cleanUp(): void {
  for (const node of [...nodes]) node.destroy();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}
process.on("exit", cleanUp);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

/** What a killed run left behind: its names tell its process ID. */
function sweep(): void {
  const isDead = (name: string) => {
    const pid = /^mconf-(\d+)-/.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  const namespaces = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  for (const name of namespaces.filter(isDead)) run(["ip", "netns", "del", name]);
  for (const name of readdirSync(tmpdir()).filter(isDead)) rmSync(`${tmpdir()}/${name}`, { recursive: true });
}
sweep();

/** A temp folder that a later run finds by its name, should this one be killed. */
export function temporary(): string {
  const made = mkdtempSync(`${tmpdir()}/mconf-${process.pid}-`);
  folders.add(made);
  return made;
}

/** A node of its own: a network namespace and a temp folder; pods are further namespaces. */
export class Node {
  readonly name = `mconf-${process.pid}-${++counter}`;
  readonly netns = `/run/netns/${this.name}`;
  readonly dir = temporary();
  readonly bin = `${this.dir}/bin`;
  readonly #namespaces: string[] = [];
  #pods = 0;

  constructor() {
    nodes.add(this);
    mkdirSync(this.bin);
    this.#addNamespace(this.name);
  }

  #addNamespace(name: string): string {
    must("ip", "netns", "add", name);
    this.#namespaces.push(name);
    must("ip", "-n", name, "link", "set", "lo", "up");
    return `/run/netns/${name}`;
  }

  /** A container: a fresh namespace and a fresh ID. */
  pod(ifname = "eth0"): Pod {
    const id = `pod${++this.#pods}`;
    return { id, netns: this.#addNamespace(`mconf-${process.pid}-${++counter}`), ifname };
  }

  /** The container's namespace goes away, as after a crash or a reboot. */
  removeNamespace(pod: Pod): void {
    must("ip", "netns", "del", pod.netns.replace("/run/netns/", ""));
  }

  /** A program in the node's own folder of plugins. */
  install(name: string, script: string): void {
    writeFileSync(`${this.bin}/${name}`, script, { mode: 0o755 });
  }

  /** A command inside a namespace; has to succeed. */
  inside(netns: string, ...argv: string[]): string {
    return must("nsenter", `--net=${netns}`, ...argv);
  }

  links(netns = this.netns): Link[] {
    const links: Link[] = JSON.parse(this.inside(netns, "ip", "-j", "-d", "addr", "show"));
    return links;
  }

  link(name: string, netns = this.netns): Link | undefined {
    return this.links(netns).find(({ ifname }) => ifname === name);
  }

  /** Addresses of an interface that are not link-local. */
  addresses(netns: string, ifname: string): string[] {
    const found = this.link(ifname, netns)?.addr_info ?? [];
    return found.filter(({ scope }) => scope === "global").map(({ local }) => local);
  }

  /** Names of the node's ends of veth pairs. */
  veths(): string[] {
    return this.links().flatMap(({ ifname, linkinfo }) => (linkinfo?.info_kind === "veth" ? [ifname] : []));
  }

  /** All rules of both families that translate addresses. */
  natRules(): string {
    const iptables = run(["nsenter", `--net=${this.netns}`, "iptables-save", "-t", "nat"]).stdout;
    const nft = run(["nsenter", `--net=${this.netns}`, "nft", "list", "ruleset"]).stdout;
    return iptables + nft;
  }

  destroy(): void {
    nodes.delete(this);
    for (const name of [...this.#namespaces].reverse()) run(["ip", "netns", "del", name]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
