import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { type Misbehaviour, startApiServer } from "../twin/apiserver.ts";
import { type Agent, AgentNode, destroyNodes, N1, N2, nodeItem } from "./agent.ts";
import { relay } from "./relay.ts";

setDefaultTimeout(60_000);

const opened: { stop(): unknown }[] = [];
const cleanUp = async () => {
  await destroyNodes();
  for (const it of opened.splice(0)) it.stop();
};
afterEach(cleanUp);
afterAll(cleanUp);

const OWN = nodeItem(N1);

interface Cluster {
  readonly own?: ReturnType<typeof nodeItem>;
  readonly misbehaviour?: Misbehaviour;
  readonly args?: readonly string[];
}

/** An agent of the API of a cluster with two Nodes, in a namespace as it was before. */
async function begin({ own = OWN, misbehaviour, args = [] }: Cluster) {
  const server = await startApiServer({ nodes: [own, nodeItem(N2)] });
  opened.push(server);
  const node = new AgentNode();
  opened.push(relay(node.netns, server.port));
  if (misbehaviour !== undefined) server.behave({ times: 1_000, ...misbehaviour });
  const before = node.kernel();
  const kubeconfig = server.kubeconfigPath("none", { tokenFile: server.tokenFile });
  const agent = node.start({ args: ["--kubeconfig", kubeconfig, ...args] });
  return { server, node, agent, before };
}

/** The node's network is as it was, no runtime takes it for ready, and the plugin is told why. */
async function expectUntouched(node: AgentNode, agent: Agent, before: string, why: string): Promise<void> {
  await agent.says(/ warn (nodes|self) /);
  await node.until("node.json says why", () => String(node.published().reason).includes(why), agent);
  expect(node.published().ready).toBe(false);
  expect(agent.page("/readyz")).toContain(why);
  await Bun.sleep(1_500);
  expect(node.kernel()).toBe(before);
  expect(existsSync(node.conflist)).toBe(false);
  expect(agent.page("/healthz")).toContain("healthz check passed");
}

/** A ServiceAccount's files where kubelet mounts them, in a mount namespace of the agent's own. */
const WITH_ACCOUNT = [
  "unshare",
  "-m",
  "sh",
  "-ec",
  'cd /tmp; mount -t tmpfs none /run; mkdir -p /run/secrets/kubernetes.io/serviceaccount; for name in token ca.crt; do echo x >"/run/secrets/kubernetes.io/serviceaccount/$name"; done; exec "$@"',
  "sh",
];

const forbidden = (verb: string, resource: string) =>
  `nodes is forbidden: User "system:serviceaccount:kube-system:minicni" cannot ${verb} resource "${resource}" in API group "" at the cluster scope`;

describe("what only an administrator can put right is told with the way out, and the node left as it was", () => {
  test("no right to list Nodes (403); it goes on when the right is there", async () => {
    const misbehaviour = { on: "list", status: 403, message: forbidden("list", "nodes") } as const;
    const { server, node, agent, before } = await begin({ misbehaviour });
    const why = `403 Forbidden: ${forbidden("list", "nodes")} (the agent needs a ClusterRole with list and watch on nodes: \`kubectl apply -f k8s/minicni.yaml\` makes it`;
    await expectUntouched(node, agent, before, why);
    server.behaveWell();
    await agent.ready();
  });

  test("its Node has no pod CIDR; it goes on when it gets one", async () => {
    const own = { ...OWN, spec: { podCIDR: "", podCIDRs: [] } };
    const { server, node, agent, before } = await begin({ own });
    const why =
      "Node n1 has no pod CIDR (spec.podCIDRs is []): see --allocate-node-cidrs=true and --cluster-cidr of kube-controller-manager (with kubeadm: --pod-network-cidr of `kubeadm init`)";
    await expectUntouched(node, agent, before, why);
    server.upsert(OWN);
    await agent.ready();
  });

  test("its Node has another name, which is named", async () => {
    const own = { ...OWN, metadata: { name: "n1.example.org" } };
    const { node, agent, before } = await begin({ own });
    const why =
      "Node n1 is not among the 2 Nodes (there is n1.example.org): NODE_NAME or --node must be its exact name";
    await expectUntouched(node, agent, before, why);
  });

  test("the Service's address of the API, without kube-proxy", async () => {
    const node = new AgentNode();
    const before = node.kernel();
    const env = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
    // Its default route leads to nobody, as on a node whose router knows no Service.
    const agent = node.start({ env, args: ["--kubeconfig", ""], before: WITH_ACCOUNT });
    const why =
      "KUBERNETES_SERVICE_HOST is 10.96.0.1: where that is the Service `kubernetes`, it leads nowhere before kube-proxy runs on this node";
    await expectUntouched(node, agent, before, why);
  });
});
