import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { BINARY, type Finished, must, run } from "../sandbox.ts";

export const FOLDER = "/run/minicni-lab";
const NODE_LIST = `${FOLDER}/nodelist.json`;

/** The machine's own network as text: the lab must not change a byte of it. */
export function machine(): string {
  const commands = [
    ["ip", "-br", "link"],
    ["ip", "-br", "addr"],
    ["ip", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["iptables-save"],
    ["ip6tables-save"],
    ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter"],
  ];
  // Counters and dates move by themselves.
  return commands
    .map((argv) =>
      run(argv)
        .stdout.replace(/^#.*$|\[\d+:\d+\]/gm, "")
        .replace(/expires \d+sec/g, ""),
    )
    .join("\n");
}

/** `minicni lab …`, whatever comes of it. */
export function lab(...args: string[]): Finished {
  return run([BINARY, "lab", ...args]);
}

/** `minicni lab …` that has to succeed; returns its stdout. */
export function mustLab(...args: string[]): string {
  return must(BINARY, "lab", ...args);
}

/** For beforeAll: a fresh lab. */
export function upLab(...args: string[]): void {
  if (process.getuid?.() !== 0) throw new Error("the lab's tests need root");
  if (namespaces().length > 0) throw new Error(`a lab is up; remove it first: ${BINARY} lab down`);
  mustLab("up", ...args);
}

/** For afterAll: no lab, whatever the tests did. */
export function downLab(): void {
  lab("down");
}

export function namespaces(): string[] {
  return existsSync("/run/netns")
    ? readdirSync("/run/netns").filter((name) => name.startsWith("mclab-"))
    : [];
}

/** A command in a node's namespace (`node1`), or a pod's (`node1-pod1`), that has to succeed. */
export function inside(name: string, ...argv: string[]): string {
  return must("nsenter", `--net=/run/netns/mclab-${name}`, ...argv);
}

/** All that the kernel knows by a listing of `ip` or `bridge` on a node. */
export function lists(node: string, word: string, ...argv: string[]): boolean {
  return inside(node, ...argv).includes(word);
}

export interface Probe {
  readonly ok: boolean;
  readonly check: string;
  readonly family: 4 | 6;
  readonly from: string;
  readonly to: string;
  readonly path: string | null;
  readonly seenSource: string | null;
}

export interface Report {
  readonly ok: boolean;
  readonly exitCode: number;
  readonly drift: readonly string[];
  readonly remarks: readonly string[];
  readonly probes: readonly Probe[];
  readonly paths: readonly { from: string; to: string; family: 4 | 6; path: string }[];
}

/** `lab test`, whatever it says. */
export function report(): Report {
  const child = lab("test", "--json");
  if (child.stdout === "") throw new Error(child.stderr);
  const parsed: Omit<Report, "exitCode"> = JSON.parse(child.stdout);
  return { ...parsed, exitCode: child.exitCode };
}

/** What a test of a whole lab expects to be nothing. */
export function wrongs({ probes, drift }: Report): string[] {
  const failed = probes.filter(({ ok }) => !ok);
  return [...failed.map(({ check, from, to }) => `${check}: ${from} → ${to}`), ...drift];
}

/** `node1>node2 v4 direct`, sorted. */
export function pathsOf({ paths }: Report): string[] {
  return paths.map(({ from, to, family, path }) => `${from}>${to} v${family} ${path}`).sort();
}

interface PodView {
  readonly node: string;
  readonly name: string;
  readonly addresses: readonly string[];
}

/** Addresses of a pod (`node1/pod1`), as the plugin gave them. */
export function addressesOf(pod: string): readonly string[] {
  const { pods }: { pods: PodView[] } = JSON.parse(readFileSync(`${FOLDER}/lab.json`, "utf8"));
  const found = pods.find(({ node, name }) => `${node}/${name}` === pod);
  if (found === undefined) throw new Error(`no pod ${pod}`);
  return found.addresses;
}

/** Whether every address of a pod answers another pod (`node1/pod1`) once. */
export function reaches(from: string, to: string): boolean {
  const netns = `/run/netns/mclab-${from.replace("/", "-")}`;
  return addressesOf(to).every(
    (address) =>
      run(["nsenter", `--net=${netns}`, "ping", "-c", "1", "-W", "0.4", "-q", address]).exitCode === 0,
  );
}

/** Whether two pods reach each other. */
export function areJoined(a: string, b: string): boolean {
  return reaches(a, b) && reaches(b, a);
}

const WAIT_MS = 20_000;

/** Waits for something that agents do on their own. Throws when it does not come. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + WAIT_MS;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`waited ${WAIT_MS / 1000} s in vain: ${what}\n${logs()}`);
    await Bun.sleep(50);
  }
}

/** What the agents wrote last. */
function logs(): string {
  if (!existsSync(FOLDER)) return "there is no lab";
  return readdirSync(FOLDER)
    .filter((name) => existsSync(agentLog(name)))
    .map((name) => `--- ${name}\n${readFileSync(agentLog(name), "utf8").split("\n").slice(-12).join("\n")}`)
    .join("\n");
}

export function agentLog(node: string): string {
  return `${FOLDER}/${node}/agent.log`;
}

/** PID of a node's agent, as the lab wrote it down. */
export function agentPid(node: string): number {
  return Number(readFileSync(`${FOLDER}/${node}/agent.pid`, "utf8").split(" ")[0]);
}

/** Whether a process has ended; init may take its time to read how. */
export function hasEnded(pid: number): boolean {
  return /^(Z|$)/.test(run(["ps", "-o", "stat=", "-p", String(pid)]).stdout.trim());
}

interface NodeItem {
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Replaces the NodeList's items by what `change` makes of them, atomically as an editor should. */
export function editNodes(change: (items: readonly NodeItem[]) => readonly unknown[]): void {
  const list: { items: NodeItem[] } = JSON.parse(readFileSync(NODE_LIST, "utf8"));
  writeFileSync(`${NODE_LIST}.test`, JSON.stringify({ ...list, items: change(list.items) }));
  renameSync(`${NODE_LIST}.test`, NODE_LIST);
}
