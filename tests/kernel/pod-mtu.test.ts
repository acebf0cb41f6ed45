import { afterAll, describe, expect, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2 } from "./agent.ts";
import type { Json, Pod } from "./sandbox.ts";

afterAll(destroyNodes);

/** As a runtime calls the plugin by the agent's conflist, with the store in the test's own folder. */
function confOf(node: AgentNode, keys: Json = {}): Json {
  const { stateDir, dataDir } = node.box;
  return { cniVersion: "1.1.0", name: "minicni", type: "minicni", stateDir, dataDir, ...keys };
}

function mtus(node: AgentNode, pod: Pod): number[] {
  const inside = node.box.link("eth0", pod.netns).mtu;
  return [inside, ...node.box.hostVeths().map((name) => node.box.link(name).mtu)];
}

describe("the MTU of pods", () => {
  test("follows that of the node's link, down and up again, and CHECK agrees", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2);
    const agent = await node.up("--leak-grace", "4");
    const pod = node.box.pod();
    const result = node.box.add(pod, confOf(node));
    expect(mtus(node, pod)).toEqual([1500, 1500]);
    for (const mtu of [1400, 1600]) {
      node.ip("link", "set", "eth0", "mtu", String(mtu));
      await node.until(`the pod has ${mtu}`, () => mtus(node, pod).every((it) => it === mtu), agent);
      expect(node.box.link("minicni0").mtu).toBe(mtu);
      const checked = node.box.call("CHECK", pod, confOf(node, { prevResult: result }));
      expect([checked.stdout, checked.exitCode]).toEqual(["", 0]);
    }
    expect(agent.log()).toContain('info "MTU of pods" cause=kernel');
  }, 60_000);

  test("stays where the configuration chose it, or somebody else did", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2);
    const agent = await node.up("--leak-grace", "4");
    const [tuned, plain] = [node.box.pod(), node.box.pod()];
    node.box.add(tuned, confOf(node));
    const [veth = ""] = node.box.hostVeths();
    node.ip("link", "set", veth, "mtu", "1300");
    node.box.add(plain, confOf(node));
    node.ip("link", "set", "eth0", "mtu", "1450");
    await node.until("the other pod follows", () => node.box.link("eth0", plain.netns).mtu === 1450, agent);
    expect([node.box.link(veth).mtu, node.box.link("eth0", tuned.netns).mtu]).toEqual([1300, 1500]);
  }, 60_000);
});
