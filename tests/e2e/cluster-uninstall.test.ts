import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Cluster, clusterFault } from "./cluster.ts";
import { ClusterPod } from "./cluster-pod.ts";
import { fileState, kernelState, type NodeState } from "./cluster-state.ts";

setDefaultTimeout(120_000);

const FAULT = clusterFault();
if (FAULT !== null) process.stderr.write(`skipped: a cluster of containerds: ${FAULT}\n`);

const UNINSTALL = ["/opt/cni/bin/minicni", "uninstall"];

let cluster: Cluster;
const n1 = () => cluster.node(0);
/** Without rules of others. */
const n2 = () => cluster.node(1);
let kernel: NodeState;
let bare: NodeState;
let files: readonly string[];
let pod: ClusterPod;

beforeAll(async () => {
  if (FAULT !== null) return;
  cluster = await Cluster.boot();
  // As the packages of kubelet and containerd have them, and as libcni makes them with the first pod.
  n1().must(["mkdir", "-p", "/etc/cni/net.d", "/opt/cni/bin"]);
  n1().must(["mkdir", "-p", "-m", "700", "/var/lib/cni/results"]);
  // Asked for by kubeadm. The kernel has further routes and addresses then.
  for (const node of [n1(), n2()]) {
    node.must(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  }
  n2().must(["nft", "flush", "ruleset"]);
  kernel = kernelState(n1());
  bare = kernelState(n2());
  files = fileState(n1());
  await cluster.apply({ MINICNI_BACKEND: "vxlan" });
  pod = await ClusterPod.run(n1(), "pod");
});
afterAll(async () => {
  await cluster?.destroy();
});

describe.skipIf(FAULT !== null)("uninstall on a node", () => {
  test("is refused while the agent runs, and changes nothing", () => {
    const before = { kernel: kernelState(n1()), files: fileState(n1()) };
    const done = n1().run(UNINSTALL);
    expect(done.exitCode).toBe(1);
    expect(done.stdout + done.stderr).toContain("agent");
    expect({ kernel: kernelState(n1()), files: fileState(n1()) }).toEqual(before);
  });

  test("and while pods are attached", async () => {
    await cluster.daemon(n1()).stop();
    const done = n1().run(UNINSTALL);
    expect(done.exitCode).toBe(1);
    expect(done.stdout + done.stderr).toContain(pod.id.slice(0, 12));
    await pod.remove();
  });

  test("prints what it would do, and does not do it", () => {
    const before = { kernel: kernelState(n1()), files: fileState(n1()) };
    const done = n1().run([...UNINSTALL, "--dry-run"]);
    expect({ exitCode: done.exitCode, stderr: done.stderr }).toEqual({ exitCode: 3, stderr: "" });
    expect(done.stdout).toContain("ip link del");
    expect({ kernel: kernelState(n1()), files: fileState(n1()) }).toEqual(before);
  });

  test("leaves the kernel as it was before install", () => {
    n1().must(UNINSTALL);
    expect(kernelState(n1())).toEqual(kernel);
  });

  test("and the files", () => {
    expect(fileState(n1())).toEqual(files);
  });

  test("a node without rules of others keeps empty tables of iptables, and nothing else", async () => {
    await cluster.daemon(n2()).stop();
    n2().must(UNINSTALL);
    const { "iptables-save": v4, "ip6tables-save": v6, "nft list ruleset": nft, ...rest } = kernelState(n2());
    const { "iptables-save": _4, "ip6tables-save": _6, "nft list ruleset": _nft, ...wanted } = bare;
    expect(rest).toEqual(wanted);
    // Whose they are can't be told: every iptables makes and shares them. Chains of accept and no rules do nothing.
    const saved = [...(v4 ?? []), ...(v6 ?? [])];
    expect(saved.filter((line) => !/^(\*(filter|nat)|:[A-Z]+ ACCEPT|COMMIT)$/.test(line))).toEqual([]);
    const isEmpty = (line: string) =>
      /^(table ip6? \w+ \{|\s+chain \w+ \{|\s+type .* policy accept;|\s*\})$/.test(line);
    expect((nft ?? []).filter((line) => !isEmpty(line))).toEqual([]);
  });
});
