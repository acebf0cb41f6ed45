import { expect } from "bun:test";
import type { ClusterNode } from "./cluster-node.ts";
import type { HostPort } from "./cri-config.ts";
import { BUSYBOX_IMAGE } from "./image.ts";

/** Says who asked, or its own name and who asked; on port 7 everything is sent back as it came. */
const SERVE = `mkdir -p /tmp/www/cgi-bin
printf '#!/bin/sh\\necho\\necho "$REMOTE_ADDR"\\n' >/tmp/www/cgi-bin/peer
printf '#!/bin/sh\\necho\\necho "%s $REMOTE_ADDR"\\n' "$NAME" >/tmp/www/cgi-bin/who
chmod +x /tmp/www/cgi-bin/*
nc -ll -p 7 -e cat &
exec httpd -f -p "[::]:$PORT" -h /tmp/www`;
/** Not wget: the static one crashes where name services are to be loaded. */
const ASK = `printf 'GET /cgi-bin/peer HTTP/1.0\\r\\n\\r\\n' | nc -w 3 "$0" "$1"`;
const DEFAULT_PORT = 80;

/** How a pod is to be. */
export interface PodOptions {
  readonly hostNetwork?: boolean;
  readonly port?: number;
  readonly hostPorts?: readonly HostPort[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A pod with one container, busybox, that serves on a port and can ask others. */
export class ClusterPod {
  readonly port: number;
  readonly ips: readonly string[];

  private constructor(
    readonly node: ClusterNode,
    readonly name: string,
    readonly id: string,
    readonly container: string,
    ips: readonly string[],
    options: PodOptions,
  ) {
    this.port = options.port ?? DEFAULT_PORT;
    // A pod on the node's network has the node's addresses, says kubelet; the CRI tells none.
    this.ips = options.hostNetwork ? node.words.addresses : ips;
  }

  /** Starts a pod, and returns when it serves. Throws what the runtime said. */
  static async run(node: ClusterNode, name: string, options: PodOptions = {}): Promise<ClusterPod> {
    const { hostNetwork = false, port = DEFAULT_PORT, hostPorts = [], annotations = {} } = options;
    const cgroupParent = `/${node.cgroup}`;
    const uid = `${name}-${crypto.randomUUID()}`;
    const id = await node.cri.runPod({ name, uid, hostNetwork, cgroupParent, hostPorts, annotations });
    const container = await node.cri.runContainer(id, {
      name: "main",
      image: BUSYBOX_IMAGE,
      command: ["sh", "-c", SERVE],
      env: { NAME: name, PORT: `${port}`, PATH: "/bin" },
      hostNetwork,
      seccomp: "RuntimeDefault",
    });
    const { ips } = await node.cri.podStatus(id);
    const pod = new ClusterPod(node, name, id, container, ips, options);
    for (let tries = 0; (await pod.ask("127.0.0.1", port)) !== "127.0.0.1"; tries++)
      if (tries > 50) throw new Error(`${name} does not serve`);
    return pod;
  }

  /** The address that a server sees this one's question come from; what went wrong when there is no answer. */
  async ask(address: string, port: number): Promise<string> {
    const done = await this.exec("sh", "-c", ASK, address, `${port}`);
    return parsePeer(done);
  }

  /** Runs a command in the container. */
  exec(...argv: string[]) {
    return this.node.cri.exec(this.container, ...argv);
  }

  /** StopPodSandbox and RemovePodSandbox. */
  async remove(): Promise<void> {
    await this.node.cri.stopPod(this.id);
    await this.node.cri.removePod(this.id);
  }
}

/** Asks every address of one pod from another, and expects that each question comes from the asking pod's own. */
export async function expectExchange(client: ClusterPod, server: ClusterPod): Promise<void> {
  for (const [index, address] of server.ips.entries())
    expect(await client.ask(address, server.port)).toBe(client.ips[index] ?? "");
}

/** The same question, from the node itself. */
export function askFromNode(node: ClusterNode, address: string, port: number): string {
  const done = node.run(["busybox", "sh", "-c", ASK, address, `${port}`], "", { PATH: "/usr/bin" });
  return parsePeer(done);
}

function parsePeer(done: { exitCode: number; stdout: string; stderr: string }): string {
  const peer = /\r?\n\r?\n\[?(?:::ffff:)?([0-9a-f:.]+)\]?\s*$/.exec(done.stdout)?.[1];
  return peer ?? `no answer: exit ${done.exitCode}: ${done.stdout}${done.stderr}`;
}
