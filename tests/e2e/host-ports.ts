import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { run } from "../kernel/sandbox.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { ClusterPod } from "./cluster-pod.ts";

const ASK = `printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 3 "$0" "$1"`;
const UDP = `${import.meta.dir}/udp-main.ts`;

const children = new Set<Bun.Subprocess>();
process.on("exit", stopChildren);

/** For afterAll: ends every server and client of this file. */
export function stopChildren(): void {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
}

function start(netns: string, argv: readonly string[], out: string): Bun.Subprocess {
  const child = Bun.spawn(["nsenter", `--net=${netns}`, ...argv], {
    stdio: ["ignore", Bun.file(out), "inherit"],
  });
  children.add(child);
  return child;
}

/** Where a question comes from: a way to run busybox' sh there. */
export type Place = (
  ...argv: string[]
) => Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;

export const inPod =
  (pod: ClusterPod): Place =>
  (...argv) =>
    pod.exec("sh", ...argv);
export const onNode =
  (node: ClusterNode): Place =>
  async (...argv) =>
    node.run(["busybox", "sh", ...argv], "", { PATH: "/usr/bin" });
export const inNetns =
  (netns: string): Place =>
  async (...argv) =>
    run(["nsenter", `--net=${netns}`, "busybox", "sh", ...argv]);

/** Who serves there over TCP, and whom it sees asking: `NAME from ADDRESS`; else what went wrong. */
export async function askWho(place: Place, address: string, port: number): Promise<string> {
  const { exitCode, stdout, stderr } = await place("-c", ASK, address, `${port}`);
  const [, name, asker] = /\r?\n\r?\n(\S+) \[?(?:::ffff:)?([0-9a-f:.]+)\]?\s*$/.exec(stdout) ?? [];
  return name === undefined ? `no answer: exit ${exitCode}: ${stdout}${stderr}` : `${name} from ${asker}`;
}

/** A web server in a namespace that is no pod's, which answers as pods do. */
export async function serveWho(folder: string, netns: string, name: string, port: number): Promise<void> {
  const script = `${folder}/${name}/cgi-bin/who`;
  mkdirSync(`${folder}/${name}/cgi-bin`, { recursive: true });
  writeFileSync(script, `#!/bin/sh\necho\necho "${name} $REMOTE_ADDR"\n`);
  chmodSync(script, 0o755);
  const argv = ["busybox", "httpd", "-f", "-p", `[::]:${port}`, "-h", `${folder}/${name}`];
  start(netns, argv, `${folder}/${name}.log`);
  const serves = async () => (await askWho(inNetns(netns), "127.0.0.1", port)).startsWith(name);
  await waitFor(`${name} serves`, serves);
}

/** What the runtime keeps of the result of a pod's ADD. */
export function resultOfPod({ node, id }: ClusterPod): {
  readonly interfaces: readonly { readonly name: string; readonly sandbox?: string }[];
} {
  const path = node.path(`/var/lib/cni/results/minicni-${id}-eth0`);
  return JSON.parse(readFileSync(path, "utf8")).result;
}

/** Serves over UDP in a pod's namespace, which outlives neither its pod nor {@link stopChildren}; returns how to end it. */
export async function serveUdp(folder: string, pod: ClusterPod, port: number): Promise<() => Promise<void>> {
  const sandbox = resultOfPod(pod).interfaces.find(({ name }) => name === "eth0")?.sandbox ?? "";
  // The node's link from /var/run is one to our own /run when it is followed from here.
  const netns = pod.node.path(sandbox.replace(/^\/var\/run/, "/run"));
  const out = `${folder}/${pod.name}.udp`;
  // Busybox has no server of UDP.
  const child = start(netns, [process.execPath, UDP, "serve", pod.name, `${port}`], out);
  await waitFor(`${pod.name} serves UDP`, () => readFileSync(out, "utf8").includes("listening"));
  return async () => {
    child.kill("SIGKILL");
    await child.exited;
    children.delete(child);
  };
}

/** An answer over UDP: who gave it, to which question, and which address it came from. */
export interface Answer {
  readonly name: string;
  readonly question: number;
  readonly from: string;
}

/** Asks over UDP, again and again, always from the same socket. */
export class UdpClient {
  readonly #out: string;

  constructor(folder: string, netns: string, address: string, port: number, sourcePort: number) {
    this.#out = `${folder}/asked-${sourcePort}`;
    start(netns, [process.execPath, UDP, "ask", address, `${port}`, `${sourcePort}`], this.#out);
  }

  #lines(): string[] {
    return readFileSync(this.#out, "utf8").split("\n").slice(0, -1);
  }

  /** The number of the last question. */
  asked(): number {
    return this.#lines().filter((line) => line.startsWith("asked ")).length;
  }

  /** The answers from a server so far. */
  answers(name: string): Answer[] {
    return this.#lines().flatMap((line) => {
      const [, found = "", question = "", from = ""] = /^(\S+) (\d+) from (\S+)$/.exec(line) ?? [];
      return found === name ? [{ name, question: Number(question), from }] : [];
    });
  }
}
