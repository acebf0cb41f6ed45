import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { inNetns } from "../../src/host/netns.ts";
import { formatAddress } from "../../src/net/address.ts";
import { hostPort } from "../unit/topology/host-ports-words.ts";
import { type Json, NOTHING, type Pod, read, run, Sandbox, type Variables } from "./sandbox.ts";
import { connectOutside, NODE_OUTSIDE } from "./views.ts";

/** What keeps the rules of host ports in a test. */
export type Kind = "iptables-nft" | "iptables-legacy" | "nftables";
export const KINDS: readonly Kind[] = ["iptables-nft", "iptables-legacy", "nftables"];
/** The node's own addresses, as clients of host ports call them. */
export const NODE = NODE_OUTSIDE;

/** Port mappings as a runtime hands them over, from words like `tcp 8080 80` or `udp 192.0.2.2:53 53`. */
export function mappings(words: readonly string[]): Json[] {
  return words.map((text) => {
    const { hostIp, ...rest } = hostPort(text);
    return { ...rest, ...(hostIp && { hostIP: formatAddress(hostIp) }) };
  });
}

/** A node with a way out, and what its calls of one kind need. */
export class PortNode {
  readonly box = new Sandbox();
  readonly world = this.box.pod();
  readonly kind: Kind;

  constructor(kind: Kind = "iptables-nft") {
    this.kind = kind;
    connectOutside(this.box, this.world.netns);
  }

  /** Programs of the kind under their plain names. */
  get env(): Variables {
    if (this.kind === "nftables") return {};
    const folder = `${this.box.dir}/${this.kind}`;
    if (!existsSync(folder)) {
      mkdirSync(folder);
      for (const tool of ["iptables", "ip6tables"]) {
        for (const ending of ["", "-restore", "-save"]) {
          const program = `${tool}${this.kind.replace("iptables", "")}${ending}`;
          const real = Bun.which(program);
          if (real === null) throw new Error(`no ${program}`);
          symlinkSync(real, `${folder}/${tool}${ending}`);
        }
      }
    }
    return { PATH: `${folder}:${process.env.PATH}` };
  }

  conf(ports: readonly string[], overrides: Json = {}): Json {
    const backend = this.kind === "nftables" ? { backend: "nftables" } : {};
    return this.box.conf({ runtimeConfig: { portMappings: mappings(ports) }, ...backend, ...overrides });
  }

  /** A new pod with these ports. */
  add(ports: readonly string[], overrides: Json = {}): Pod {
    const pod = this.box.pod();
    this.box.add(pod, this.conf(ports, overrides), this.env);
    return pod;
  }

  del(pod: Pod, conf: Json = this.conf([])): void {
    const done = this.box.call("DEL", pod, conf, this.env);
    if (done.exitCode !== 0) throw new Error(`DEL of ${pod.id}: ${done.stdout}`);
  }

  /** All rules and chains of host ports, of every kind, as the tools print them. */
  rules(): string[] {
    const saves = ["iptables", "ip6tables"].flatMap((tool) =>
      ["nft", "legacy"].map((variant) => `${tool}-${variant}-save`),
    );
    const saved = saves.flatMap((program) => this.box.node(program).split("\n"));
    const ours = saved.filter((line) => /MINICNI-(HOSTPORT|DNAT|LOCALNET)/.test(line));
    const listed = this.table().split("\n");
    return [...ours, ...listed]
      .map((line) => line.replace(/ \[\d+:\d+\]$/, "").trim())
      .filter((line) => line);
  }

  /** Our table of nftables; empty: there is none. */
  table(): string {
    const argv = ["nft", "list", "table", "inet", "minicni_hostports"];
    return run(["nsenter", `--net=${this.box.netns}`, ...argv]).stdout;
  }

  /** What a failed call or the last DEL has to leave: {@link NO_PORTS}. */
  traces() {
    const file = `${this.box.stateDir}/hostports/claims.json`;
    const { claims, places }: Json = existsSync(file) ? JSON.parse(read(file)) : { claims: [], places: [] };
    const isUnsettled = existsSync(`${this.box.stateDir}/hostports/unsettled`);
    return { ...this.box.leftovers(), rules: this.rules(), claims, places, isUnsettled };
  }
}

export const NO_PORTS = { ...NOTHING, rules: [], claims: [], places: [], isUnsettled: false };

const TOOLS = ["iptables", "ip6tables"].flatMap((tool) => [tool, `${tool}-nft`, `${tool}-legacy`]);
const COUNTED = ["ip", "bridge", "nft", ...TOOLS.flatMap((tool) => [tool, `${tool}-restore`])];

/** Which run of a call fails, counted from 1, and whether it did its work before. */
export interface FailingRun {
  readonly nth: number;
  readonly isLate: boolean;
}

/** Stand-ins for all programs that may change rules; `runs` tells their command lines, in their order. */
export function standIns(node: PortNode, { nth, isLate }: FailingRun = { nth: 0, isLate: false }) {
  const folder = mkdtempSync(`${node.box.dir}/counted-`);
  for (const program of COUNTED) {
    const real = Bun.which(program);
    if (real === null) continue;
    // Only one process can make a file of a given name (set -C).
    const script = `#!/bin/sh
set -C
n=1
until { echo "${program} $*" > ${folder}/run-$n; } 2>/dev/null; do n=$((n + 1)); done
[ "$n" = ${nth} ] || exec ${real} "$@"
${isLate ? `${real} "$@"` : ""}
echo "made to fail" >&2
exit 1
`;
    writeFileSync(`${folder}/${program}`, script, { mode: 0o755 });
  }
  const numbers = () => readdirSync(folder).flatMap((name) => /^run-(\d+)$/.exec(name)?.[1] ?? []);
  return {
    env: { PATH: `${folder}:${process.env.PATH}` },
    runs: () =>
      numbers()
        .sort((a, b) => Number(a) - Number(b))
        .map((number) => read(`${folder}/run-${number}`).trim()),
  };
}

/** The programs that a call runs, a command line each. */
export async function runsOf(node: PortNode, command: string, pod: Pod, conf: Json): Promise<string[]> {
  const { env, runs } = standIns(node);
  const done = await node.box.start(command, pod, conf, { env }).done;
  if (done.exitCode !== 0) throw new Error(`${command} of ${pod.id}: ${done.stdout}`);
  return runs();
}

/** Answers each connection to a port, both families, with its name and who it saw, and ends it. */
export function serveTcp(netns: string, port: number, name: string): { close(): void } {
  const listener = inNetns(netns, () =>
    Bun.listen({
      hostname: "::",
      port,
      socket: {
        data: () => undefined,
        open: (socket) => {
          socket.end(`${name} saw ${socket.remoteAddress.replace(/^::ffff:/, "")}`);
        },
      },
    }),
  );
  return { close: () => listener.stop(true) };
}

/** What a server answers at an address; null: nobody does, refusing at once or, `seconds` long, not at all. */
export async function askTcp(
  netns: string,
  address: string,
  port: number,
  seconds = 15,
): Promise<string | null> {
  const script = `exec 3<>/dev/tcp/$0/$1 && exec cat <&3`;
  const limit = ["timeout", `${seconds}`];
  const child = Bun.spawn({
    cmd: ["nsenter", `--net=${netns}`, ...limit, "bash", "-c", script, address, `${port}`],
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const said = await child.stdout.text();
  await child.exited;
  return said === "" ? null : said;
}

/** Answers each datagram to a port as {@link serveTcp} does. */
export async function serveUdp(netns: string, port: number, name: string): Promise<{ close(): void }> {
  const socket = await inNetns(netns, () =>
    Bun.udpSocket({
      hostname: "::",
      port,
      socket: {
        data: (own, _data, from, address) => {
          own.send(`${name} saw ${address.replace(/^::ffff:/, "")}`, from, address);
        },
      },
    }),
  );
  return { close: () => socket.close() };
}

/** A client that keeps one source port, as a resolver or a game does. */
export interface UdpClient {
  /** The next answer from `address` that comes; null: none did to some tries. */
  ask(address: string, port: number): Promise<string | null>;
  /** Says something without wanting an answer. */
  tell(address: string, port: number): void;
  close(): void;
}

export async function openUdp(netns: string, family: 4 | 6): Promise<UdpClient> {
  let hear: (text: string) => void = () => undefined;
  const socket = await inNetns(netns, () =>
    Bun.udpSocket({
      hostname: family === 4 ? "0.0.0.0" : "::",
      socket: {
        // Nobody at the other end: that is no answer.
        error: () => undefined,
        data: (_own, data) => hear(data.toString()),
      },
    }),
  );
  const tell = (address: string, port: number) => {
    try {
      socket.send("hello", port, address);
    } catch {
      // What an earlier datagram met with is told at the next one.
    }
  };
  const ask = async (address: string, port: number) => {
    for (let tries = 0; tries < 40; tries++) {
      const heard = new Promise<string | null>((resolve) => {
        hear = resolve;
        setTimeout(() => resolve(null), 250);
      });
      tell(address, port);
      const text = await heard;
      if (text !== null) return text;
    }
    return null;
  };
  return { ask, tell, close: () => socket.close() };
}
