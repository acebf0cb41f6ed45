import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import {
  type Agent,
  AgentNode,
  destroyNodes,
  N1,
  N2,
  N3,
  nodeItem,
  replaceFile,
  v4,
  waitFor,
} from "../kernel/agent.ts";
import { must } from "../kernel/sandbox.ts";
import { assetsFault, ControlPlane, processOf, SERVICE_ADDRESS } from "./kube-assets.ts";

setDefaultTimeout(90_000);

const FAULT = assetsFault();
if (FAULT !== "") process.stderr.write(`skipped: an agent of a real API server: ${FAULT}\n`);

const K8S = `${import.meta.dir}/../../k8s`;
const N4 = { name: "n4", podCidrs: ["10.244.4.0/24"], addresses: ["10.9.0.4"] };

describe.skipIf(FAULT !== "")("an agent with the manifest's account, asking a real API server", () => {
  let plane: ControlPlane;
  let node: AgentNode;
  let agent: Agent;
  const tokenFile = () => `${node.box.dir}/token`;
  const args = (...more: string[]) => ["--kubeconfig", `${node.box.dir}/kubeconfig`, ...more];
  const token = (account: string) => plane.must("-n", "kube-system", "create", "token", account);

  beforeAll(async () => {
    plane = await ControlPlane.start();
    node = new AgentNode([4]);
    // A wire of its own, so that the link between nodes has nothing but nodes.
    const outside = ["nsenter", "-t", processOf(plane.machine), "--net", "ip"];
    must(...outside, "link", "add", "agent0", "type", "veth", "peer", "name", "api0", "netns", node.box.name);
    must(...outside, "addr", "add", "192.0.2.1/30", "dev", "agent0");
    must(...outside, "link", "set", "agent0", "up");
    node.ip("addr", "add", "192.0.2.2/30", "dev", "api0");
    node.ip("link", "set", "api0", "up");
    node.ip("route", "add", SERVICE_ADDRESS, "via", "192.0.2.1");
    writeFileSync(`${node.box.dir}/kubeconfig`, plane.configOfToken(tokenFile()));

    plane.must("apply", "-f", `${K8S}/minicni.yaml`);
    for (const words of [N1, N2, N3].map(v4)) plane.apply(nodeItem(words));
  });
  afterAll(async () => {
    await destroyNodes();
    await plane?.stop();
  });

  test("says that a token is refused, and takes the next one of the file", async () => {
    plane.must("-n", "kube-system", "create", "serviceaccount", "gone");
    writeFileSync(tokenFile(), token("gone"));
    plane.must("-n", "kube-system", "delete", "serviceaccount", "gone");
    plane.must("delete", "clusterrolebinding", "minicni");
    agent = node.start({ args: args() });
    await agent.says(/\b401\b/);
    expect(node.routes()).toEqual([]);
    replaceFile(tokenFile(), token("minicni"));
  });

  test("says that it may not list Nodes while nothing binds the role to its account", async () => {
    await agent.says(/\b403\b.*system:serviceaccount:kube-system:minicni.*cannot list resource \\"nodes\\"/);
    expect(agent.isReady()).toBe(false);
    expect(agent.page("/readyz?verbose")).toContain("403");
    expect(node.routes()).toEqual([]);
  });

  test("routes to the Nodes that there are once the role is bound", async () => {
    plane.must("apply", "-f", `${K8S}/minicni.yaml`);
    // Pauses between two tries have grown.
    await waitFor("the agent is ready", () => agent.isReady(), agent.log, 75_000);
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
    ]);
  });

  test("follows a Node that goes and one that comes", async () => {
    plane.must("delete", "node", "n2");
    await node.until("no route to n2", () => !node.routes().join().includes("10.244.2.0"), agent);
    plane.apply(nodeItem(N4));
    await node.until("a route to n4", () => node.routes().join().includes("10.244.4.0"), agent);
    expect(node.routes()).toEqual([
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
      "10.244.4.0/24 via 10.9.0.4 dev eth0",
    ]);
  });

  test("keeps NetworkUnavailable only with the rule that the overlay adds", async () => {
    const condition = () =>
      plane.field("node/n1", '.status.conditions[?(@.type=="NetworkUnavailable")].status');
    await agent.stop();
    agent = node.start({ args: args("--node-condition", "true") });
    await agent.says(/cannot patch resource \\"nodes\/status\\"/);
    expect(condition()).toBe("");
    plane.must("apply", "-k", `${K8S}/overlays/node-condition`);
    // A patch that was refused is tried again after half a minute.
    await waitFor("the condition", () => condition() === "False", agent.log, 75_000);
  });
});
