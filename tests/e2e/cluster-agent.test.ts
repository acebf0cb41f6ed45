import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, statSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { Cluster, clusterFault } from "./cluster.ts";
import { CHANGED_IMAGE, makeChangedImage } from "./cluster-image.ts";
import { readManifest } from "./cluster-manifest.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { ClusterPod, expectExchange } from "./cluster-pod.ts";
import { attachments, attachmentsOf, kernelState } from "./cluster-state.ts";
import { countExchanges, startTraffic, stopTraffic } from "./cluster-traffic.ts";

setDefaultTimeout(120_000);

const FAULT = clusterFault();
if (FAULT !== null) process.stderr.write(`skipped: a cluster of containerds: ${FAULT}\n`);

const PLUGIN = "/opt/cni/bin/minicni";
/** What the plugin executes, and what two versions differ in here. */
const STANDALONE = `${PLUGIN}-standalone`;
/** A call of the plugin; without an end of its stdin it goes on. */
const CALL = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "hangs",
  CNI_NETNS: "/run/netns/none",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
};

let cluster: Cluster;
const n1 = () => cluster.node(0);
const n2 = () => cluster.node(1);
/** On n1, and on n2. */
let client: ClusterPod;
let server: ClusterPod;

beforeAll(async () => {
  if (FAULT !== null) return;
  cluster = await Cluster.boot();
  await cluster.apply();
  client = await ClusterPod.run(n1(), "client");
  server = await ClusterPod.run(n2(), "server");
});
afterAll(async () => {
  await cluster?.destroy();
});

describe.skipIf(FAULT !== null).each([
  { end: "stopped", stop: () => cluster.daemon(n2()).stopContainer("agent"), exitCode: 0 },
  { end: "killed", stop: () => cluster.daemon(n2()).killContainer("agent"), exitCode: 137 },
])("while the agent is $end", ({ stop, exitCode }) => {
  let between: ClusterPod;

  test("pods of its node stay reachable", async () => {
    expect(await stop()).toBe(exitCode);
    expect(await n2().cri.networkReady()).toBe(true);
    await expectExchange(client, server);
  });

  test("pods come and go", async () => {
    between = await ClusterPod.run(n2(), "between");
    await expectExchange(client, between);
    await expectExchange(between, client);
    const short = await ClusterPod.run(n2(), "short");
    await short.remove();
    expect(attachments(n2())).toEqual(attachmentsOf([server, between]));
  });

  test("and the next agent changes nothing of that", async () => {
    const before = kernelState(n2());
    await cluster.daemon(n2()).restartContainer("agent");
    await cluster.daemon(n2()).ready();
    expect(kernelState(n2())).toEqual(before);
    expect(attachments(n2())).toEqual(attachmentsOf([server, between]));
    await expectExchange(client, between);
    await between.remove();
    expect(attachments(n2())).toEqual(attachmentsOf([server]));
  });
});

/** Starts a program of the file that is to be replaced: such a file can't be written ("text file busy"). */
function startCall(node: ClusterNode): Bun.Subprocess {
  const variables = Object.entries(CALL).map(([name, value]) => `${name}=${value}`);
  return Bun.spawn(node.inside(["env", ...variables, PLUGIN]), { stdio: ["pipe", "ignore", "ignore"] });
}

describe.skipIf(FAULT !== null)("an upgrade under traffic", () => {
  const digest = (node: ClusterNode) => node.must(["sha256sum", STANDALONE]);
  const inode = (node: ClusterNode) => statSync(node.path(STANDALONE)).ino;

  test.each([
    { family: "IPv4", index: 0 as const },
    { family: "IPv6", index: 1 as const },
  ])("$family starts", async ({ index }) => {
    // A pod each: both write to the same files.
    const pod = index === 0 ? client : server;
    await startTraffic(pod, index === 0 ? server : client, index);
    await waitFor("five exchanges", async () => (await countExchanges(pod)).good >= 5);
  });

  test("both nodes get another version, one after the other, and their kernels notice nothing", async () => {
    const folder = `${cluster.folder}/changed`;
    mkdirSync(folder);
    const archive = makeChangedImage(folder, n1().path(STANDALONE));
    for (const node of cluster.nodes) {
      await node.importImage(archive);
      const before = { kernel: kernelState(node), digest: digest(node), inode: inode(node) };
      const running = startCall(node);
      await cluster.daemon(node).stop();
      await cluster.startDaemon(node, readManifest(), CHANGED_IMAGE);
      expect(running.exitCode).toBeNull();
      running.kill();
      expect(digest(node)).not.toBe(before.digest);
      expect(inode(node)).not.toBe(before.inode);
      expect(kernelState(node)).toEqual(before.kernel);
    }
  });

  test.each([
    { family: "IPv4", index: 0 },
    { family: "IPv6", index: 1 },
  ])("not one exchange of $family failed, and no connection broke", async ({ index }) => {
    const { good, bad, failures, stream } = await stopTraffic(index === 0 ? client : server);
    expect({ bad, failures }).toEqual({ bad: 0, failures: "" });
    expect(good).toBeGreaterThan(20);
    const numbers = Array.from({ length: stream.length - 1 }, (_, number) => `${number}`);
    expect(stream).toEqual([...numbers, "end"]);
    expect(stream.length).toBeGreaterThan(20);
  });

  test("and pods come and go under the other version", async () => {
    const pod = await ClusterPod.run(n1(), "later");
    await expectExchange(pod, server);
    await pod.remove();
  });
});

describe.skipIf(FAULT !== null)("when the node network gets narrower", () => {
  test("pods that run follow, by the namespaces that containerd named", async () => {
    const mtu = async () => (await client.exec("cat", "/sys/class/net/eth0/mtu")).stdout.trim();
    expect(await mtu()).toBe("1500");
    n1().must(["ip", "link", "set", "eth0", "mtu", "1400"]);
    const said = () => cluster.daemon(n1()).log("agent");
    await waitFor("the pod's MTU is the node's", async () => (await mtu()) === "1400", said, 60_000);
  });
});
