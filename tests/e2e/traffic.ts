import { mkdirSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { must, type Pod, run, type Sandbox } from "../kernel/sandbox.ts";

/** The node's addresses on the wire to {@link connectNeighbour}'s namespace. */
export const NODE_ADDRESSES = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;
const NEIGHBOUR_ADDRESSES = { 4: "192.0.2.2", 6: "2001:db8::2" } as const;
const PORT = 80;
const PATIENCE_MS = 5_000;

/** A namespace beside the node, on a wire of its own: from there connections come in from outside. */
export function connectNeighbour(node: Sandbox): Pod {
  const neighbour = node.pod();
  node.node("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", neighbour.netns);
  const inside = `--net=${node.netns}`;
  const beside = `--net=${neighbour.netns}`;
  for (const [at, device, addresses] of [
    [inside, "wire0", NODE_ADDRESSES],
    [beside, "wire1", NEIGHBOUR_ADDRESSES],
  ] as const) {
    must("nsenter", at, "ip", "addr", "add", `${addresses[4]}/24`, "dev", device);
    must("nsenter", at, "ip", "addr", "add", `${addresses[6]}/64`, "dev", device, "nodad");
    must("nsenter", at, "ip", "link", "set", device, "up");
  }
  return neighbour;
}

const servers = new Set<Bun.Subprocess>();
process.on("exit", stopServers);

/** For afterAll: ends every server of this file. */
export function stopServers(): void {
  for (const server of servers) server.kill("SIGKILL");
  servers.clear();
}

/** Starts a web server in the pod, both families, that answers with the pod's ID; resolves when it listens. */
export async function serve(node: Sandbox, pod: Pod): Promise<void> {
  const root = `${node.dir}/www-${pod.id}`;
  mkdirSync(root);
  writeFileSync(`${root}/who`, pod.id);
  const argv = ["busybox", "httpd", "-f", "-p", `[::]:${PORT}`, "-h", root];
  servers.add(Bun.spawn(["nsenter", `--net=${pod.netns}`, ...argv], { stdin: "ignore", stderr: "ignore" }));
  const serves = () => ask(pod.netns, "127.0.0.1", PORT) === pod.id;
  await waitFor(`${pod.id} serves`, serves, undefined, PATIENCE_MS);
}

// Not busybox' wget: the static one crashes where name services are to be loaded.
const ASK = `const answer = await fetch(process.argv[1], { signal: AbortSignal.timeout(3000) });
process.stdout.write(await answer.text());`;

/** Asks for the name of who serves there, over TCP from inside a namespace; what went wrong when nobody does. */
export function ask(netns: string, address: string, port: number): string {
  const host = address.includes(":") ? `[${address}]` : address;
  const argv = [process.execPath, "-e", ASK, `http://${host}:${port}/who`];
  const { exitCode, stdout, stderr } = run(["nsenter", `--net=${netns}`, ...argv]);
  return exitCode === 0 ? stdout : `no answer: ${stderr.trim()}`;
}
