import { readFileSync } from "node:fs";
import { replaceFile, waitFor } from "../kernel/agent.ts";
import { type NodeWords, nodeItem } from "../kernel/agent-cluster.ts";
import { must, run, Sandbox } from "../kernel/sandbox.ts";

const API_HOST = "10.9.0.254";
const API_PORT = 6443;
/** A bridge without one of its own takes the lowest of its ports: another one with a new port, which no neighbour knows. */
const LAN_MAC = "02:00:0a:09:00:fe";
const SERVER = `${import.meta.dir}/../twin/apiserver-main.ts`;

/** What kubelet mounts into each pod, and the variables that it sets there. */
export interface ServiceAccount {
  readonly token: string;
  readonly caCertificate: string;
  readonly variables: Readonly<Record<string, string>>;
}

/** The network between nodes: one link, as a switch would be, with the API server beside the nodes. */
export class Underlay {
  readonly #box = new Sandbox();
  readonly #nodesFile = `${this.#box.dir}/nodes.json`;
  #server: Bun.Subprocess | undefined;

  constructor() {
    const ip = (...words: string[]) => this.#box.node("ip", ...words);
    ip("link", "add", "lan", "address", LAN_MAC, "up", "type", "bridge");
    ip("addr", "add", `${API_HOST}/24`, "dev", "lan");
    ip("addr", "add", "fd09::fe/64", "dev", "lan", "nodad");
  }

  /** The Nodes of the API from now on. */
  nodes(nodes: readonly NodeWords[]): void {
    const list = { apiVersion: "v1", kind: "NodeList", items: nodes.map(nodeItem) };
    replaceFile(this.#nodesFile, JSON.stringify(list));
  }

  /** Starts the API server with the Nodes told before. */
  async serve(): Promise<ServiceAccount> {
    const out = `${this.#box.dir}/server.json`;
    const inside = ["nsenter", `--net=${this.#box.netns}`, process.execPath, SERVER];
    const server = Bun.spawn(
      [...inside, "--host", API_HOST, "--port", `${API_PORT}`, "--nodes", this.#nodesFile],
      { stdio: ["ignore", Bun.file(out), "inherit"] },
    );
    this.#server = server;
    const read = () => readFileSync(out, "utf8");
    await waitFor("the API server listens", () => server.exitCode === null && read().endsWith("\n"), read);
    const { tokenFile, caFile } = JSON.parse(read());
    return {
      token: readFileSync(tokenFile, "utf8"),
      caCertificate: readFileSync(caFile, "utf8"),
      variables: { KUBERNETES_SERVICE_HOST: API_HOST, KUBERNETES_SERVICE_PORT: `${API_PORT}` },
    };
  }

  /** Gives the namespace of a process the node's link `eth0`, its addresses and its default routes. */
  connect(pid: number, { name, addresses }: NodeWords): void {
    const [v4 = "", v6 = ""] = addresses;
    const inside = (...words: string[]) => must("nsenter", "-t", `${pid}`, "-n", ...words);
    const port = ["ip", "link", "add", `port-${name}`, "up", "master", "lan", "type", "veth"];
    // A network card keeps its address over a reboot, and the neighbours of others know it.
    const mac = v4.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
    const peer = ["peer", "name", "eth0", "address", ["02:00", ...mac].join(":"), "netns", `${pid}`];
    this.#box.node(...port, ...peer);
    // Or its link-local address would come when the kernel pleases.
    inside("ip", "link", "set", "eth0", "addrgenmode", "none");
    inside("ip", "addr", "add", `${v4}/24`, "dev", "eth0");
    inside("ip", "addr", "add", `${v6}/64`, "dev", "eth0", "nodad");
    inside("ip", "addr", "add", `fe80::${v6.replace(/^.*::/, "")}/64`, "dev", "eth0", "nodad");
    inside("ip", "link", "set", "lo", "up");
    inside("ip", "link", "set", "eth0", "up");
    inside("ip", "route", "add", "default", "via", API_HOST);
    inside("ip", "route", "add", "default", "via", "fd09::fe");
  }

  /** A machine beside the nodes that is none, with these addresses on its `eth0`; returns its network namespace. */
  outsider([v4 = "", v6 = ""]: readonly string[]): string {
    const { id, netns } = this.#box.pod();
    const inside = (...words: string[]) => must("nsenter", `--net=${netns}`, ...words);
    const port = ["ip", "link", "add", `port-${id}`, "up", "master", "lan", "type", "veth"];
    this.#box.node(...port, "peer", "name", "eth0", "netns", netns);
    for (const prefix of [`${v4}/24`, `${v6}/64`])
      inside("ip", "addr", "add", prefix, "dev", "eth0", ...(prefix.includes(":") ? ["nodad"] : []));
    // A router on the same link would send those away that go by it.
    for (const key of ["ipv4.conf.all", "ipv4.conf.eth0", "ipv6.conf.eth0"])
      inside("sysctl", "-qw", `net.${key}.accept_redirects=0`);
    inside("ip", "link", "set", "eth0", "up");
    return netns;
  }

  /**
   * Takes the link of a node that is off, with both of its ends. The kernel would do so too, with the node's namespace; but
   * it takes namespaces apart one after the other, those that other tests left before too.
   */
  disconnect(name: string): void {
    // It fails when the kernel was faster.
    run(["nsenter", `--net=${this.#box.netns}`, "ip", "link", "del", `port-${name}`]);
  }

  async destroy(): Promise<void> {
    const server = this.#server;
    server?.kill("SIGTERM");
    try {
      const hasEnded = () => server === undefined || server.exitCode !== null || server.signalCode !== null;
      await waitFor("the API server ends", hasEnded);
    } finally {
      server?.kill("SIGKILL");
      this.#box.destroy();
    }
  }

  /** The same without waiting, for the end of the test's process. Not by SIGKILL: the API server has a folder to remove. */
  abandon(): void {
    this.#server?.kill("SIGTERM");
    this.#box.destroy();
  }
}
