import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2 } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { NETWORK, type Pod, Sandbox } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

/** A node with so many pods, and its doctor. */
function make(count: number): { box: Sandbox; pods: Pod[]; doctor: DoctorNode } {
  const box = new Sandbox();
  const doctor = new DoctorNode(box);
  const list = { cniVersion: "1.0.0", name: NETWORK, plugins: [box.conf()] };
  writeFileSync(`${doctor.confDir}/10-pods.conflist`, JSON.stringify(list));
  const pods = box.pods(count);
  for (const pod of pods) box.add(pod);
  return { box, pods, doctor };
}

function lose(box: Sandbox, pod: Pod): void {
  const before = box.hostVeths().length;
  box.removePod(pod);
  for (let tries = 0; box.hostVeths().length === before && tries < 200; tries++) Bun.sleepSync(50);
}

describe("B9, addresses of pods", () => {
  test("pass where each is held by a pod that lives", () => {
    expect(make(3).doctor.lines("B9")).toEqual([
      "PASS B9 6 addresses of net1 held, each by one pod that lives",
    ]);
  });

  test("of a node without anything of ours are skipped, whatever else has stores", () => {
    const doctor = new DoctorNode();
    doctor.write("/var/lib/cni/networks/cbr0/10.22.0.2", "gone\r\neth0");
    expect(doctor.lines("B9")).toEqual(["SKIP B9 addresses of pods: no network of ours gives any here"]);
  });

  test("of an agent's own network pass, with its pods from the published pod CIDRs", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2);
    const agent = await node.up();
    const pod = node.box.pod();
    const conf = { ...node.box.conf(), name: "minicni", ipam: undefined, dataDir: node.box.dataDir };
    node.box.add(pod, conf);
    const doctor = new DoctorNode(node.box);
    writeFileSync(`${doctor.confDir}/10-minicni.conflist`, JSON.stringify({ ...conf, plugins: [conf] }));
    expect(doctor.lines("B9")).toEqual(["PASS B9 2 addresses of minicni held, each by one pod that lives"]);
    await agent.stop();
  });

  test("a leak is named with its file and what to do, which heals it", () => {
    const { box, pods, doctor } = make(2);
    if (pods[0] !== undefined) lose(box, pods[0]);
    const [finding] = doctor.findings("B9");
    expect(finding).toMatchObject({
      level: "warn",
      message: "net1: 2 addresses held by pods that are gone: 10.7.0.2, fd00:7::2",
      fix: ["minicni ipam release --network net1 10.7.0.2", "minicni ipam release --network net1 fd00:7::2"],
    });
    expect(
      finding?.evidence.some((line) => line.startsWith(`${box.dataDir}/net1/10.7.0.2: pod1 eth0, since `)),
    ).toBe(true);
    const folders = ["--state-dir", box.stateDir, "--conf-dir", doctor.confDir];
    const [, , , ...words] = (finding?.fix[0] ?? "").split(" ");
    box.node(...box.argv("ipam", "release", ...words, ...folders).slice(2));
    expect(doctor.lines("B9")).toEqual(["PASS B9 2 addresses of net1 held, each by one pod that lives"]);
  });

  test("two pods with one address, a pod without its veth, a reservation that is lost", () => {
    const { box, pods, doctor } = make(3);
    const [, second] = pods;
    if (second === undefined) throw new Error("no pod");
    box.node("nsenter", `--net=${second.netns}`, "ip", "addr", "add", "10.7.0.2/24", "dev", "eth0");
    expect(doctor.lines("B9")).toEqual([
      "FAIL B9 net1: 10.7.0.2 is on container pod1 eth0 and on container pod2 eth0",
    ]);
    box.node("nsenter", `--net=${second.netns}`, "ip", "addr", "del", "10.7.0.2/24", "dev", "eth0");
    rmSync(`${box.dataDir}/net1/10.7.0.4`);
    expect(doctor.lines("B9")).toEqual([
      "FAIL B9 net1: 10.7.0.4 of container pod3 eth0 is not reserved: the next pod may be given it",
    ]);
    writeFileSync(`${box.dataDir}/net1/10.7.0.4`, "pod3\r\neth0");
    for (const name of box.hostVeths()) box.node("ip", "link", "del", name);
    expect(doctor.lines("B9")).toEqual([
      "FAIL B9 net1: 6 addresses of pods whose veth somebody removed: 10.7.0.2, 10.7.0.3, 10.7.0.4, fd00:7::2 and 2 more",
    ]);
  });

  test("pods are named as the runtime knows them, and saved facts are judged alike", () => {
    const { box, pods, doctor } = make(1);
    const [pod] = pods;
    if (pod === undefined) throw new Error("no pod");
    const cached = {
      kind: "cniCacheV1",
      containerId: pod.id,
      ifName: "eth0",
      networkName: NETWORK,
      netns: pod.netns,
      cniArgs: [
        ["K8S_POD_NAMESPACE", "shop"],
        ["K8S_POD_NAME", "web-0"],
      ],
    };
    doctor.write(`/var/lib/cni/results/${NETWORK}-${pod.id}-eth0`, JSON.stringify(cached));
    rmSync(`${box.dataDir}/net1/10.7.0.2`);
    const line =
      "FAIL B9 net1: 10.7.0.2 of pod shop/web-0 (container pod1 eth0) is not reserved: the next pod may be given it";
    expect(doctor.lines("B9")).toEqual([line]);
    mkdirSync(`${box.dir}/kept`);
    const file = `${box.dir}/kept/facts.json`;
    doctor.doctor("--save", file, "--only", "B9");
    expect(doctor.lines("B9", "--from", file)).toEqual([line]);
  });
});
