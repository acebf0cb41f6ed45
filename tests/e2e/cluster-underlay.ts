import { readFileSync } from "node:fs";
import { replaceFile, waitFor } from "../kernel/agent.ts";
import { type NodeWords, nodeItem } from "../kernel/agent-cluster.ts";
import { must, run, Sandbox } from "../kernel/sandbox.ts";

const API_HOST = "10.9.0.254";
const API_PORT = 6443;
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
    ip("link", "add", "lan", "up", "type", "bridge");
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
