import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, N3, nodeItem } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { known, type NodeItem } from "./doctor-network.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

function make(...nodes: readonly NodeItem[]) {
  const node = new AgentNode();
  node.nodes(...nodes);
  return { node, doctor: new DoctorNode(node.box), args: known(node) };
}

describe("A11, networks that overlap", () => {
  test("nothing on a plain node", () => {
    const { doctor, args } = make(N1, N2, N3);
    expect(doctor.lines("A11", ...args)).toEqual([
      "PASS A11 6 pod CIDRs, 2 addresses of links and no service (their CIDR is not known here) do not overlap",
    ]);
  });

  test("a node with pods: our own bridge and tunnel are no strangers", async () => {
    const { node, doctor, args } = make(N1, N2, N3);
    const agent = await node.up();
    const conf = node.box.conf({ ipam: undefined, dataDir: node.box.dataDir, bridge: "minicni0" });
    node.box.add(node.box.pod(), conf);
    await agent.stop();
    expect(node.ip("addr", "show", "minicni0")).toContain("10.244.1.1/24");
    expect(doctor.findings("A11", ...args).map(({ level }) => level)).toEqual(["pass"]);
  });

  test("without any list of Nodes it is skipped, with the reason", () => {
    const { doctor } = make(N1);
    expect(doctor.lines("A11")[0]).toMatch(/^SKIP A11 .*no list of Nodes: there is no file/);
  });

  test("Docker's bridge in a peer's pod CIDR", () => {
    const { node, doctor, args } = make(N1, N2, N3);
    node.ip("link", "add", "docker0", "type", "bridge");
    node.ip("addr", "add", "10.244.2.1/24", "dev", "docker0");
    const [finding] = doctor.findings("A11", ...args);
    expect(finding).toMatchObject({
      level: "fail",
      message: "docker0 has 10.244.2.1/24, which is inside the pod CIDR 10.244.2.0/24 of n2",
      evidence: ["docker0 10.244.2.1/24", "pod CIDR 10.244.2.0/24 of n2"],
    });
    expect(finding?.fix[0]).toContain("/etc/docker/daemon.json");
    node.ip("link", "del", "docker0");
    expect(doctor.findings("A11", ...args)[0]?.level).toBe("pass");
  });

  test("a service address of kube-proxy's rules in a pod CIDR", () => {
    const { node, doctor, args } = make(N1, N2, N3);
    const nat = (...words: string[]) => node.box.node("iptables", "-t", "nat", ...words);
    const service = (address: string, name: string) => {
      const comment = ["-m", "comment", "--comment", `default/${name}:http cluster IP`];
      nat("-A", "KUBE-SERVICES", "-d", `${address}/32`, "-p", "tcp", ...comment, "-j", "ACCEPT");
    };
    nat("-N", "KUBE-SERVICES");
    service("10.96.0.1", "kubernetes");
    expect(doctor.lines("A11", ...args)[0]).toContain(
      "PASS A11 6 pod CIDRs, 2 addresses of links and 1 service address",
    );
    service("10.244.3.77", "web");
    expect(doctor.findings("A11", ...args)).toMatchObject([
      {
        level: "fail",
        message: "the service address 10.244.3.77 is inside the pod CIDR 10.244.3.0/24 of n3",
        evidence: [
          "-A KUBE-SERVICES -d 10.244.3.77 (default/web:http cluster IP)",
          "pod CIDR 10.244.3.0/24 of n3",
        ],
      },
    ]);
  });

  test("what the control plane was started with", () => {
    const { doctor, args } = make(N1, N2, N3);
    const manifest = (flags: string) =>
      `spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - ${flags}\n    - --secure-port=6443\n`;
    doctor.write(
      "/etc/kubernetes/manifests/kube-apiserver.yaml",
      manifest("--service-cluster-ip-range=10.96.0.0/12,fd44::/48"),
    );
    doctor.write(
      "/etc/kubernetes/manifests/kube-controller-manager.yaml",
      manifest("--cluster-cidr=10.244.0.0/23"),
    );
    expect(doctor.lines("A11", ...args)).toEqual([
      "FAIL A11 the service CIDR fd44::/48 and the pod CIDR fd44:0:0:1::/64 of n1 overlap",
      "WARN A11 no cluster CIDR holds the pod CIDR 10.244.2.0/24 of n2, nor 1 other",
    ]);
  });

  test("two Nodes with one pod CIDR: who is left out, and how to give it another", () => {
    const bad = nodeItem({ name: "bad", podCidrs: ["10.244.2.0/24"], addresses: ["10.9.0.9"] });
    const young = { ...bad, metadata: { name: "bad", creationTimestamp: "2026-01-01T00:00:00Z" } };
    const old = { ...nodeItem(N2), metadata: { name: "n2", creationTimestamp: "2025-01-01T00:00:00Z" } };
    const { doctor, args } = make(N1, old, young);
    const [finding] = doctor.findings("A11", ...args);
    expect(finding?.message).toBe("Node bad has a pod CIDR of node n2: 10.244.2.0/24");
    expect(finding?.fix).toContain("kubectl delete node bad");
  });
});
