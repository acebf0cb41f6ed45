import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isWords, type NodeWords, nodeItem } from "./agent-cluster.ts";
import { BINARY, destroySandboxes, type Finished, must, run, Sandbox, type Variables } from "./sandbox.ts";

export * from "./agent-cluster.ts";

/** Replaces a file whole, as an editor should. */
export function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** Dates, counters, a bridge's clocks, and how far the kernel's own look at the carrier has come. */
export const VOLATILE =
  /^#.*$|_timer +\d+\.\d+|\[\d+:\d+\]|counter packets \d+ bytes \d+|NO-CARRIER,| linkdown\b| state [A-Z]+(?= mode)/gm;
const LONGEST_WAIT_MS = 20_000;

/** Waits for what others do on their own. Throws with `explain` when it does not come. */
export async function waitFor(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  explain: () => string = () => "",
  timeoutMs = LONGEST_WAIT_MS,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > end)
      throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}\n${explain()}`);
    await Bun.sleep(50);
  }
}

const running = new Set<Agent>();

/** For afterEach and afterAll: no agent, no namespace and no folder of a test is left. */
export async function destroyNodes(): Promise<void> {
  await Promise.all([...running].map((agent) => agent.stop("SIGKILL")));
  destroySandboxes();
}
process.on("exit", () => {
  for (const { pid } of running) run(["kill", "-KILL", String(pid)]);
});

/** A process of `minicni agent`. */
export interface Agent {
  readonly pid: number;
  /** What it wrote to stderr so far. */
  log(): string;
  /** Waits until the log has the text, or matches. */
  says(text: string | RegExp): Promise<void>;
  /** Whether /readyz passes. */
  isReady(): boolean;
  /** Waits until /readyz passes. */
  ready(): Promise<void>;
  /** A page of its HTTP server; empty when nobody answers. */
  page(path: string): string;
  /** Ends it by a signal; returns its exit code, null when the signal killed it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** How an agent is started other than by default. */
export interface AgentOptions {
  readonly args?: readonly string[];
  readonly env?: Variables;
  /** Put before the binary: `setpriv …`. */
  readonly before?: readonly string[];
}

/** A virtual node: a namespace with an uplink `eth0` (10.9.0.1/24, fd09::1/64), a gateway, and an agent's folders. */
export class AgentNode {
  readonly box = new Sandbox();
  readonly netns = this.box.netns;
  readonly nodesFile = `${this.box.dir}/nodes.json`;
  readonly confDir = `${this.box.dir}/net.d`;
  readonly dataDir = `${this.box.dir}/known`;
  readonly stateDir = this.box.stateDir;
  readonly nodeJson = `${this.stateDir}/node.json`;
  readonly conflist = `${this.confDir}/10-minicni.conflist`;
  readonly name: string;
  readonly #underlay: string;
  #started = 0;

  /** `beside`: a node whose link this one shares; `number`: 2 for n2. */
  constructor(families: readonly (4 | 6)[] = [4, 6], number = 1, beside: AgentNode | null = null) {
    this.name = `n${number}`;
    this.#underlay = beside === null ? this.box.pod().netns : beside.#underlay;
    const outside = ["nsenter", `--net=${this.#underlay}`, "ip", "link"];
    const port = `port${number}`;
    mkdirSync(this.confDir);
    if (beside === null) must(...outside, "add", "lan", "up", "type", "bridge");
    this.ip("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", this.#underlay);
    must(...outside, "set", port, "master", "lan", "up");
    // Or its link-local address would come when the kernel pleases.
    this.ip("link", "set", "eth0", "addrgenmode", "none");
    this.box.node("sysctl", "-qw", "net.ipv6.conf.eth0.keep_addr_on_down=1");
    if (families.includes(4)) this.ip("addr", "add", `10.9.0.${number}/24`, "dev", "eth0");
    for (const address of families.includes(6) ? [`fd09::${number}/64`, `fe80::${number}/64`] : []) {
      this.ip("addr", "add", address, "dev", "eth0", "nodad");
    }
    this.ip("link", "set", "eth0", "up");
    if (families.includes(4)) this.ip("route", "add", "default", "via", "10.9.0.254");
    if (families.includes(6)) {
      this.ip("route", "add", "default", "via", "fd09::fe");
      this.#settle(number);
    }
  }

  /** The kernel makes the local routes of IPv6 addresses in its own time: what is compared with later has to have them. */
  #settle(number: number): void {
    const end = performance.now() + LONGEST_WAIT_MS;
    for (;;) {
      const routes = this.ip("-6", "route", "show", "table", "local", "dev", "eth0");
      if (["fd09", "fe80"].every((network) => routes.includes(`local ${network}::${number} `))) return;
      if (performance.now() > end) throw new Error(`no local routes after ${LONGEST_WAIT_MS} ms:\n${routes}`);
      Bun.sleepSync(10);
    }
  }

  /** `ip …` in the node's namespace, that has to succeed. */
  ip(...words: string[]): string {
    return this.box.node("ip", ...words);
  }

  bridge(...words: string[]): string {
    return this.box.node("bridge", ...words);
  }

  /** The NodeList from now on. */
  nodes(...nodes: readonly (NodeWords | Readonly<Record<string, unknown>>)[]): void {
    const items = nodes.map((node) => (isWords(node) ? nodeItem(node) : node));
    replaceFile(this.nodesFile, JSON.stringify({ apiVersion: "v1", kind: "NodeList", items }));
  }

  argv({ args = [], before = [] }: AgentOptions = {}): string[] {
    const folders = ["--state-dir", this.stateDir, "--data-dir", this.dataDir, "--conf-dir", this.confDir];
    const source = args.includes("--kubeconfig") ? [] : ["--nodes", this.nodesFile];
    const own = ["agent", "--node", this.name, "--resync-period", "1", ...source, ...folders, ...args];
    return ["/usr/bin/nsenter", `--net=${this.netns}`, ...before, BINARY, ...own];
  }

  /** Runs the agent to its end: `--once`. */
  once(...args: string[]): Finished {
    return run(this.argv({ args: ["--once", ...args] }));
  }

  start(options: AgentOptions = {}): Agent {
    const path = `${this.box.dir}/agent${++this.#started}.log`;
    const child = Bun.spawn({
      cmd: this.argv(options),
      env: { PATH: process.env.PATH, ...options.env },
      stdio: ["ignore", Bun.file(path), Bun.file(path)],
    });
    const page = (name: string) => this.#page(name);
    const log = () => (existsSync(path) ? readFileSync(path, "utf8") : "");
    const explain = () => `--- log\n${log()}\n--- readyz\n${page("/readyz")}`;
    const isReady = () => page("/readyz").includes("readyz check passed");
    const agent: Agent = {
      pid: child.pid,
      log,
      says: (text) => {
        const isSaid = () => (typeof text === "string" ? log().includes(text) : text.test(log()));
        return waitFor(`the log says ${text}`, isSaid, explain);
      },
      isReady,
      ready: () => waitFor("the agent is ready", isReady, explain),
      page,
      stop: async (signal = "SIGTERM") => {
        child.kill(signal);
        await child.exited;
        running.delete(agent);
        return child.signalCode === null ? child.exitCode : null;
      },
    };
    running.add(agent);
    return agent;
  }

  /** Starts the agent and waits until it is ready. */
  async up(...args: string[]): Promise<Agent> {
    const agent = this.start({ args });
    await agent.ready();
    return agent;
  }

  /** Waits until something holds in the kernel or in a file. */
  async until(what: string, isSo: () => boolean, agent?: Agent): Promise<void> {
    await waitFor(what, isSo, () => `${this.kernel()}\n--- log\n${agent?.log() ?? ""}`);
  }

  #page(path: string): string {
    return run(["nsenter", `--net=${this.netns}`, "curl", "-s", "-m", "5", `http://127.0.0.1:9157${path}`])
      .stdout;
  }

  /** Routes with our mark, one a line, sorted, as `ip` prints them without the mark. */
  routes(...words: string[]): string[] {
    const shown = ([4, 6] as const).flatMap((family) =>
      this.ip(`-${family}`, "route", "show", "proto", "157", ...words).split("\n"),
    );
    return shown
      .map((line) => line.replace(/ metric 1024| pref medium/g, "").trim())
      .filter((line) => line !== "");
  }

  /** Whether a tunnel device's forwarding database has this entry. */
  forwarding(dev = "minicni.vxlan"): string[] {
    const lines = this.bridge("fdb", "show", "dev", dev).split("\n");
    return lines.map((line) => line.trim()).filter((line) => line.includes("dst"));
  }

  neighbours(dev = "minicni.vxlan"): string[] {
    const lines = this.ip("neigh", "show", "dev", dev, "nud", "permanent").split("\n");
    return lines
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .sort();
  }

  hasLink(name: string): boolean {
    return run(["nsenter", `--net=${this.netns}`, "ip", "link", "show", name]).exitCode === 0;
  }

  published(): Readonly<Record<string, unknown>> {
    return existsSync(this.nodeJson) ? JSON.parse(readFileSync(this.nodeJson, "utf8")) : {};
  }

  /** All that an agent may change in the kernel, as text; nothing in it moves by itself. */
  kernel(): string {
    const commands = [
      ["ip", "-d", "link", "show"],
      ["ip", "-o", "addr", "show"],
      ["ip", "-4", "route", "show", "table", "all"],
      ["ip", "-6", "route", "show", "table", "all"],
      ["bridge", "fdb", "show"],
      ["ip", "neigh", "show", "nud", "permanent"],
      ["iptables-save"],
      ["ip6tables-save"],
      ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"],
    ];
    return commands
      .map((argv) => run(["nsenter", `--net=${this.netns}`, ...argv]).stdout.replace(VOLATILE, ""))
      .join("\n");
  }
}
