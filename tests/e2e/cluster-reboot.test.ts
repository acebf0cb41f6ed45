import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Cluster, clusterFault } from "./cluster.ts";
import { ClusterPod, expectExchange } from "./cluster-pod.ts";
import { attachments, attachmentsOf, kernelState, type NodeState } from "./cluster-state.ts";

setDefaultTimeout(120_000);

const FAULT = clusterFault();
if (FAULT !== null) process.stderr.write(`skipped: a cluster of containerds: ${FAULT}\n`);

let cluster: Cluster;
const n1 = () => cluster.node(0);
const n2 = () => cluster.node(1);
/** On n1, on n2 from before its reboot, and on n2 from after it. */
let other: ClusterPod;
let dead: ClusterPod;
let alive: ClusterPod;
/** What n1 had when all was well. */
let before: NodeState;

beforeAll(async () => {
  if (FAULT !== null) return;
  cluster = await Cluster.boot();
  await cluster.apply();
  other = await ClusterPod.run(n1(), "other");
  dead = await ClusterPod.run(n2(), "dead");
});
afterAll(async () => {
  await cluster?.destroy();
});

describe.skipIf(FAULT !== null)("a node that reboots", () => {
  test("cuts its pods off, and no others", async () => {
    await expectExchange(other, dead);
    before = kernelState(n1());
    await n2().cutPower();
    expect(await other.ask(dead.ips[0] ?? "", 80)).toStartWith("no answer");
    const second = await ClusterPod.run(n1(), "second");
    await expectExchange(other, second);
    await second.remove();
  });

  test("comes up with its disk, but its old state counts for nothing until the agent has spoken", async () => {
    await n2().boot();
    expect(await n2().cri.networkReady()).toBe(true); // the conflist is on the disk
    expect(await n2().cri.pods()).toContain(dead.id);
    await expect(ClusterPod.run(n2(), "early")).rejects.toThrow("node.json");
    expect(attachments(n2())).toMatchObject({ veths: 0, records: 0 });
  });

  test("gets its network back from the DaemonSet's pod, started as on a fresh node", async () => {
    await cluster.startDaemon(n2());
    alive = await ClusterPod.run(n2(), "alive");
    await expectExchange(other, alive);
    await expectExchange(alive, other);
  });

  test("is told by kubelet of the pods of then, and gives their addresses back, and no others", async () => {
    for (const id of await n2().cri.pods()) {
      if (id === alive.id || (await n2().cri.podStatus(id)).ready) continue;
      await n2().cri.stopPod(id);
      await n2().cri.removePod(id);
    }
    expect(attachments(n2())).toEqual(attachmentsOf([alive]));
    await expectExchange(other, alive);
  });

  test("and the other node is as it was all the time", () => {
    expect(kernelState(n1())).toEqual(before);
  });
});
