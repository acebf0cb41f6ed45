import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, nodeItem, v4 } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { known, type NodeItem } from "./doctor-network.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

function make(families: readonly (4 | 6)[], ...nodes: readonly NodeItem[]) {
  const node = new AgentNode(families);
  node.nodes(...nodes);
  return { node, doctor: new DoctorNode(node.box), args: known(node) };
}

describe("B3 and B4 of a plain node", () => {
  test("pass, for both families", () => {
    const { doctor, args } = make([4, 6], N1, N2);
    expect(doctor.lines("B3,B4", ...args)).toEqual([
      "PASS B3 4 InternalIPs of 2 Nodes, no two alike and no peer's on this machine",
      "PASS B4 InternalIP 10.9.0.1 is on eth0: the default route leaves by it",
      "PASS B4 InternalIP fd09::1 is on eth0: the default route leaves by it",
    ]);
  });

  test("are skipped where it is not known which Node this is", () => {
    const { node, doctor } = make([4], v4(N1));
    expect(doctor.lines("B4", "--nodes", node.nodesFile)).toEqual([
      "SKIP B4 this node's own address: not looked at: the name of this Node is not known (give it by --node)",
    ]);
  });
});

describe("B3, addresses of Nodes", () => {
  test("two Nodes with one InternalIP: the other address of this machine is what to announce", () => {
    const dated = (words: typeof N1, creationTimestamp: string) => ({
      ...nodeItem(words),
      metadata: { name: words.name, creationTimestamp },
    });
    const young = dated({ ...v4(N1) }, "2026-02-01T00:00:00Z");
    const old = dated({ ...v4(N2), addresses: ["10.9.0.1"] }, "2026-01-01T00:00:00Z");
    const { node, doctor, args } = make([4], old, young);
    node.ip("link", "add", "eth1", "type", "bridge");
    node.ip("addr", "add", "192.168.56.11/24", "dev", "eth1");
    expect(doctor.findings("B3", ...args)).toMatchObject([
      {
        level: "fail",
        message: "Nodes n2 and n1 have one InternalIP, 10.9.0.1",
        evidence: ["n1 has an InternalIP of node n2: 10.9.0.1"],
        fix: [
          "echo 'KUBELET_EXTRA_ARGS=--node-ip=192.168.56.11' > /etc/default/kubelet && systemctl restart kubelet",
        ],
      },
    ]);
  });

  test("an InternalIP of a peer on this machine", () => {
    const { node, doctor, args } = make([4], v4(N1), v4(N2));
    node.ip("addr", "add", "10.9.0.2/24", "dev", "eth0");
    const [finding] = doctor.findings("B3", ...args);
    expect(finding).toMatchObject({
      level: "fail",
      message: "10.9.0.2, an InternalIP of n2, is an address of this node's eth0",
      evidence: ["eth0 10.9.0.2/24", "Node n2: InternalIP 10.9.0.2"],
    });
    expect(finding?.fix).toContain("ip addr del 10.9.0.2/24 dev eth0");
    node.ip("addr", "del", "10.9.0.2/24", "dev", "eth0");
    expect(doctor.findings("B3", ...args)[0]?.level).toBe("pass");
  });
});

describe("B4, this node's own address", () => {
  test("another address than the Node has: what to restart", () => {
    const { node, doctor, args } = make([4], v4(N1), v4(N2));
    node.ip("addr", "del", "10.9.0.1/24", "dev", "eth0");
    node.ip("addr", "add", "10.9.0.77/24", "dev", "eth0");
    expect(doctor.findings("B4", ...args)).toMatchObject([
      {
        level: "fail",
        message: "this Node's InternalIP 10.9.0.1 is on no link; eth0 has 10.9.0.77/24 of the same network",
        fix: [
          "systemctl restart kubelet",
          "# it announces 10.9.0.77 then; if not, give it --node-ip=10.9.0.77",
        ],
      },
    ]);
    doctor.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--node-ip=10.9.0.1\n");
    expect(doctor.findings("B4", ...args)[0]?.fix).toEqual([
      "sed -i 's/10.9.0.1/10.9.0.77/' /etc/default/kubelet && systemctl restart kubelet",
    ]);
  });

  test("peers on another link than the one whose address is announced", () => {
    const { node, doctor, args } = make([4], v4(N1), { ...v4(N2), addresses: ["192.168.56.12"] });
    node.ip("link", "add", "eth1", "up", "type", "bridge");
    node.ip("addr", "add", "192.168.56.11/24", "dev", "eth1");
    const [finding] = doctor.findings("B4", ...args);
    expect(finding?.message).toBe(
      "InternalIP 10.9.0.1 is on eth0, but 1 peer (192.168.56.12) is on the network of eth1",
    );
    expect(finding?.fix[0]).toContain("--node-ip=192.168.56.11'");
  });

  test("an agent that has not followed another InternalIP", async () => {
    const { node, doctor, args } = make([4], v4(N1), v4(N2));
    await (await node.up()).stop();
    node.ip("addr", "add", "10.9.0.77/24", "dev", "eth0");
    node.nodes({ ...v4(N1), addresses: ["10.9.0.77"] }, v4(N2));
    const [finding] = doctor.findings("B4", ...args);
    expect(finding).toMatchObject({
      level: "fail",
      message: "minicni.vxlan sends from 10.9.0.1, but this Node's InternalIP is 10.9.0.77",
    });
    expect(finding?.evidence).toContain("minicni.vxlan local 10.9.0.1");
  });
});
