import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes } from "./agent.ts";
import { N1, N2 } from "./agent-cluster.ts";
import { probeConfig } from "./probe-nodes.ts";
import { BINARY, must, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

/** A node with an agent that others can ask, and a pod. */
async function nodeWithPod(beside: AgentNode | null, number: number) {
  const node = new AgentNode([4, 6], number, beside);
  node.nodes(N1, N2);
  const agent = await node.up("--listen", ":9157");
  const pod = node.box.pod();
  const { stateDir, box } = node;
  const conf = { cniVersion: "1.1.0", name: "minicni", type: "minicni", stateDir, dataDir: box.dataDir };
  const done = box.call("ADD", pod, conf);
  expect(done.stderr + (done.exitCode === 0 ? "" : done.stdout)).toBe("");
  return {
    node,
    agent,
    addresses: JSON.parse(done.stdout).ips.map((ip: { address: string }) => ip.address.split("/")[0]),
  };
}

test("an agent that others can ask tells addresses of its pods, and connectivity reaches them from a pod of another node", async () => {
  const one = await nodeWithPod(null, 1);
  const two = await nodeWithPod(one.node, 2);
  expect(JSON.parse(two.agent.page("/status-brief.json")).pods).toEqual(two.addresses);
  const { stateDir, dataDir, confDir, nodesFile, netns } = one.node;
  const conf = probeConfig(one.node);
  const places = [
    "--state-dir",
    stateDir,
    "--data-dir",
    dataDir,
    "--conf-dir",
    confDir,
    "--nodes",
    nodesFile,
  ];
  const done = run([
    "nsenter",
    `--net=${netns}`,
    BINARY,
    "connectivity",
    "--json",
    "--config",
    conf,
    ...places,
  ]);
  const { probes } = JSON.parse(done.stdout);
  const reached = probes.filter((probe: { address: string; from: string }) =>
    two.addresses.includes(probe.address),
  );
  expect(reached.map((probe: { from: string; status: string }) => `${probe.from} ${probe.status}`)).toEqual([
    "pod ok",
    "pod ok",
  ]);
  expect(must("nsenter", `--net=${netns}`, "ip", "-br", "link")).not.toContain("probe");
});
