import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, nodeItem } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { read } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

const TAINT = { key: "node.kubernetes.io/network-unavailable", effect: "NoSchedule" };

/** n1 as the API has it, with conditions and taints. */
function own(conditions: Readonly<Record<string, string>>, taints: readonly object[] = []) {
  const item = nodeItem(N1);
  const list = Object.entries(conditions).map(([type, status]) => ({ type, status }));
  return {
    ...item,
    spec: { ...item.spec, taints },
    status: { ...item.status, conditions: list },
  };
}

async function running() {
  const node = new AgentNode();
  node.nodes(own({ Ready: "True", NetworkUnavailable: "False" }), N2);
  const agent = await node.up();
  const isReady = () => {
    const { readiness } = JSON.parse(read(`${node.stateDir}/agent.json`));
    return readiness.every(({ fault }: { fault: string | null }) => fault === null);
  };
  await node.until("the report says ready", isReady, agent);
  return { node, agent, doctor: new DoctorNode(node.box) };
}

describe("B11, this Node's conditions and taints", () => {
  test("as they should be are no finding, and without a source they are skipped", async () => {
    const { node, agent, doctor } = await running();
    expect(doctor.lines("B11")).toEqual([
      `PASS B11 Node n1 says False for NetworkUnavailable; Ready is True (file ${node.nodesFile})`,
    ]);
    expect(new DoctorNode().lines("B11")).toEqual([
      "SKIP B11 this Node's conditions and taints: not looked at: the name of this Node is not known: --node NAME",
    ]);
    await agent.stop();
    node.box.node("rm", node.nodesFile);
    expect(doctor.lines("B11")).toEqual([
      expect.stringMatching(/^SKIP B11 .*: what the API says of this Node is not known: .*no file/),
    ]);
  });

  test("NetworkUnavailable=True while the network works is told with the taint", async () => {
    const { node, agent, doctor } = await running();
    node.nodes(own({ Ready: "True", NetworkUnavailable: "True" }, [TAINT]), N2);
    const [finding, ...rest] = doctor.findings("B11");
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      level: "fail",
      message: "Node n1 says NetworkUnavailable=True, and its network works",
      evidence: [
        "Node n1: Ready=True, NetworkUnavailable=True",
        "taint node.kubernetes.io/network-unavailable:NoSchedule",
        "the agent is ready",
      ],
    });
    await agent.stop();
    expect(doctor.findings("B11").map(({ level }) => level)).toEqual(["pass"]);
  });

  test("a taint that was left, and a Node that is not Ready for another reason", async () => {
    const { node, doctor } = await running();
    node.nodes(own({ Ready: "False", NetworkUnavailable: "False" }, [TAINT]), N2);
    const found = doctor.findings("B11");
    expect(found.map(({ level, message }) => `${level} ${message}`)).toEqual([
      "fail Node n1 has the taint node.kubernetes.io/network-unavailable:NoSchedule, and does not say NetworkUnavailable=True",
      "warn Node n1 is not Ready (False), and its network works",
    ]);
    expect(found[0]?.fix).toEqual([
      "kubectl taint node n1 node.kubernetes.io/network-unavailable:NoSchedule-",
    ]);
  });
});
