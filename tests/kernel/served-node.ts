import { afterAll } from "bun:test";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { BINARY, type Json, type Pod, Sandbox, type Started, type Variables } from "./sandbox.ts";
import { type AgentPlace, CallAgent } from "./served-agent.ts";
import { makePrograms } from "./served-path.ts";
import type { Finished } from "./views.ts";

/** A launcher in a folder with a full binary that leaves a line for each of its calls. */
export class ToldPrograms {
  readonly launcher: string;
  readonly #told: string;

  constructor(...defines: string[]) {
    const { folder, launcher, standalone } = makePrograms(...defines);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    this.launcher = launcher;
    this.#told = `${folder}/told`;
    rmSync(standalone);
    const script = `#!/bin/sh\necho "$CNI_COMMAND $CNI_CONTAINERID" >>${this.#told}\nexec ${BINARY} "$@"\n`;
    writeFileSync(standalone, script, { mode: 0o755 });
    writeFileSync(this.#told, "");
    // Whoever is not root may call as well.
    chmodSync(folder, 0o755);
    chmodSync(this.#told, 0o666);
  }

  /** Calls of the full binary since this was asked last. */
  taken(): string[] {
    const lines = readFileSync(this.#told, "utf8").split("\n").slice(0, -1);
    writeFileSync(this.#told, "");
    return lines;
  }
}

/** A node with an agent that has its socket where agents have it. */
export class ServedNode {
  readonly box = new Sandbox();
  readonly #agents: CallAgent[] = [];

  constructor(readonly programs: ToldPrograms) {
    nodes.add(this);
  }

  get socket(): string {
    return `${this.box.stateDir}/cni.sock`;
  }

  serve(more: Partial<AgentPlace> = {}): CallAgent {
    const agent = new CallAgent({ netns: this.box.netns, stateDir: this.box.stateDir, ...more });
    this.#agents.push(agent);
    return agent;
  }

  argv(launcher = this.programs.launcher, netns = this.box.netns): string[] {
    const words = ["/usr/bin/nsenter", `--net=${netns}`, "/usr/bin/env"];
    return [...words, `MINICNI_SOCKET=${this.socket}`, launcher];
  }

  start(
    command: string,
    pod: Pod,
    conf: Json = this.box.conf(),
    argv = this.argv(),
    env?: Variables,
  ): Started {
    return this.box.start(command, pod, conf, { argv, ...(env === undefined ? {} : { env }) });
  }

  call(command: string, pod: Pod, conf?: Json): Promise<Finished> {
    return this.start(command, pod, conf).done;
  }

  /** A launcher that has greeted the agent, and waits for its stdin. */
  async startGreeted(agent: CallAgent, command: string, pod: Pod, launcher?: string) {
    const before = agent.descriptors();
    const child = Bun.spawn({
      cmd: this.argv(launcher),
      env: { PATH: process.env.PATH, ...this.box.variables(command, pod) },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    for (let tries = 0; agent.descriptors() === before; tries++) {
      if (tries > 2_000) throw new Error("the launcher does not come");
      await Bun.sleep(2);
    }
    await Bun.sleep(50);
    const finish = async (): Promise<Finished> => {
      child.stdin.write(JSON.stringify(this.box.conf()));
      await child.stdin.end();
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      return { exitCode: await child.exited, stdout, stderr };
    };
    return { child, finish };
  }

  hasSockets(): boolean {
    return existsSync(this.socket) || existsSync(`${this.socket}.fd`);
  }

  destroy(): void {
    nodes.delete(this);
    for (const agent of this.#agents) agent.kill();
    this.box.destroy();
  }
}

const nodes = new Set<ServedNode>();

/** For afterEach. */
export function destroyNodes(): void {
  for (const node of [...nodes]) node.destroy();
}

/** Connects to an agent; `received`: all that it has said. */
export function connectTo(
  path: string,
): Promise<{ socket: Socket; received(): Buffer; closed: Promise<void> }> {
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof connectTo>>>();
  const parts: Buffer[] = [];
  const socket = connect(path);
  const closed = new Promise<void>((over) => socket.on("close", () => over()));
  socket.on("data", (part) => parts.push(Buffer.from(part)));
  socket.on("error", reject);
  socket.on("connect", () => resolve({ socket, received: () => Buffer.concat(parts), closed }));
  return promise;
}

/** Waits until it is true; throws when that takes more than ten seconds. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries++) {
    if (tries > 1_000) throw new Error(`it does not come about that ${what}`);
    await Bun.sleep(10);
  }
}
