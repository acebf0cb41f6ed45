import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2 } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { BINARY, type Json, run } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

/** A node with two pods, whose agent was ended. */
async function withPods(overrides: Json = {}) {
  const node = new AgentNode();
  node.nodes(N1, N2);
  const { box } = node;
  const conf: Json = { ...box.conf(), bridge: "minicni0", ...overrides };
  const { cniVersion, name } = conf;
  writeFileSync(`${node.confDir}/20-pods.conflist`, JSON.stringify({ cniVersion, name, plugins: [conf] }));
  const agent = await node.up();
  const pods = [box.pod(), box.pod()];
  const addresses = pods.map((pod) => addressesOf(box.add(pod, conf)));
  await node.until("the report is written", () => plan(node).exitCode === 0, agent);
  await agent.stop();
  const reach = () =>
    (addresses[1] ?? []).every((address) => box.pings(pods[0]?.netns ?? "", address)) &&
    box.pings(pods[1]?.netns ?? "", "10.7.0.1");
  return { node, reach, doctor: new DoctorNode(box) };
}

function plan(node: AgentNode, ...args: string[]) {
  const folders = ["--state-dir", node.stateDir, "--data-dir", node.dataDir, "--conf-dir", node.confDir];
  return run(["nsenter", `--net=${node.netns}`, BINARY, "plan", ...folders, ...args]);
}

function runIt(node: AgentNode, text: string): void {
  const done = run(["nsenter", `--net=${node.netns}`, "sh", "-e"], { stdin: text });
  expect({ code: done.exitCode, said: done.stderr }).toEqual({ code: 0, said: "" });
}

describe("minicni plan, of the pods' bridge", () => {
  test.each<[string, (node: AgentNode) => void]>([
    ["a gateway address", (node) => node.ip("addr", "del", "10.7.0.1/24", "dev", "minicni0")],
    ["a port", (node) => node.ip("link", "set", node.box.hostVeths()[0] ?? "", "nomaster")],
    ["the whole bridge", (node) => node.ip("link", "del", "minicni0")],
  ])("shows what brings back %s, which then is as it was", async (_what, destroy) => {
    const { node, reach, doctor } = await withPods();
    destroy(node);
    const broken = node.kernel();
    const done = plan(node);
    expect(done.exitCode).toBe(3);
    expect(done.stdout).toContain("# bridge and ports of pods");
    const [finding] = doctor.findings("B1");
    expect(finding?.level).toBe("fail");
    expect(finding?.message).toStartWith("the pods' bridge is not as it should be: ");
    expect(node.kernel()).toBe(broken);
    runIt(node, done.stdout);
    expect(plan(node).stdout).toBe("# n1: nothing to change\n");
    expect(doctor.findings("B1").map(({ level }) => level)).toEqual(["pass"]);
    await node.until("the pods reach each other and the gateway", reach);
  });

  test("leaves a bridge of another name alone, and says what it lacks", async () => {
    const { node } = await withPods({ bridge: "br7" });
    node.ip("addr", "del", "10.7.0.1/24", "dev", "br7");
    const done = plan(node);
    expect(done.exitCode).toBe(0);
    expect(done.stdout).toContain("# n1: nothing to change\n");
    expect(done.stdout.replaceAll(/\s*\n# /g, " ")).toContain("(it is not ours to change)");
  });
});
