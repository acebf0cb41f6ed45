import { existsSync, writeFileSync } from "node:fs";
import { AgentNode, N1, N2 } from "./agent.ts";
import { BINARY, type Finished, run, type Started } from "./sandbox.ts";

/** What a probe's pods are made by: the agent's own network, with the store in the node's folder. */
export function probeConfig({ box }: AgentNode, overrides: Readonly<Record<string, unknown>> = {}): string {
  const path = `${box.dir}/probe.conf`;
  const conf = box.conf({
    name: "minicni",
    ipam: undefined,
    dataDir: box.dataDir,
    bridge: "minicni0",
    ...overrides,
  });
  writeFileSync(path, JSON.stringify(conf));
  return path;
}

/** Two nodes on one link that know each other; without agents. */
export function makeNeighbours(...families: readonly (4 | 6)[]) {
  const here = new AgentNode(families);
  const there = new AgentNode(families, 2, here);
  const isOf = (text: string) => families.includes(text.includes(":") ? 6 : 4);
  const nodes = [N1, N2].map(({ name, podCidrs, addresses }) => {
    return { name, podCidrs: podCidrs.filter(isOf), addresses: addresses.filter(isOf) };
  });
  for (const node of [here, there]) node.nodes(...nodes);
  return { here, there };
}

/** The command line of a probing command on a node, as a person types it there. */
export function probeArgv(node: AgentNode, command: "trace" | "connectivity", ...args: string[]): string[] {
  const folders = ["--conf-dir", node.confDir, "--bin-dir", `${node.box.dir}/bin`];
  const places =
    command === "trace" ? folders : ["--state-dir", node.stateDir, "--data-dir", node.dataDir, ...folders];
  return ["/usr/bin/nsenter", `--net=${node.netns}`, BINARY, command, ...places, ...args];
}

/** Runs it to its end. */
export function probe(node: AgentNode, command: "trace" | "connectivity", ...args: string[]): Finished {
  return run(probeArgv(node, command, ...args));
}

/** Starts it; what it says comes with its end. */
export function startProbe(node: AgentNode, command: "trace" | "connectivity", ...args: string[]): Started {
  const child = Bun.spawn({ cmd: probeArgv(node, command, ...args), stdout: "pipe", stderr: "pipe" });
  const done = (async () => {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { exitCode: await child.exited, stdout, stderr };
  })();
  return { pid: child.pid, kill: (signal = "SIGKILL") => child.kill(signal), done };
}

/** All that a probe makes and has to take back on a node. */
export function traces(node: AgentNode) {
  const { box } = node;
  return {
    kernel: node.kernel(),
    reservations: box.reservations("minicni"),
    records: box.records("minicni"),
  };
}

/** The container ID of the probe that is under way on a node; empty: none is. */
export function probeUnderWay({ box }: AgentNode): string {
  return /^(minicni-(trace|probe)-[0-9a-f]+):/m.exec(box.records("minicni").join("\n"))?.[1] ?? "";
}

/** Whether the namespace of a probe is there. */
export function hasSandbox(containerId: string): boolean {
  return existsSync(`/run/netns/${containerId}`);
}
