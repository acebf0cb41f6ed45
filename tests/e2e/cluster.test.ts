import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { N1, N2 } from "../kernel/agent-cluster.ts";
import { Cluster, clusterFault } from "./cluster.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { askFromNode, ClusterPod } from "./cluster-pod.ts";
import { attachments, attachmentsOf, NO_NODE_ATTACHMENTS } from "./cluster-state.ts";

setDefaultTimeout(120_000);

const FAULT = clusterFault();
if (FAULT !== null) process.stderr.write(`skipped: a cluster of containerds: ${FAULT}\n`);

const CONFLIST = "/etc/cni/net.d/10-minicni.conflist";
const FOLDERS = ["/opt/cni/bin", "/etc/cni/net.d"];
const OTHER_USER = 997;
const HOST_PORT = 8081;
/** DAC_OVERRIDE, NET_ADMIN, NET_RAW and SYS_ADMIN: bits 1, 12, 13 and 21 (linux/capability.h). */
const CAPABILITIES = ((1 << 1) | (1 << 12) | (1 << 13) | (1 << 21)).toString(16).padStart(16, "0");
const SECCOMP_FILTER = "2";

let cluster: Cluster;
const n1 = () => cluster.node(0);
const n2 = () => cluster.node(1);
beforeAll(async () => {
  if (FAULT === null) cluster = await Cluster.boot([N1, { ...N2, podCidrs: [] }]);
});
afterAll(async () => {
  await cluster?.destroy();
});

/** Lines of /proc/PID/status of the process that runs these words on the node. */
function processOf(node: ClusterNode, ...words: string[]): Readonly<Record<string, string>> {
  const [pid = ""] = node.must(["pgrep", "-x", "-f", words.join(" ")]).split("\n");
  const lines = node.must(["cat", `/proc/${pid}/status`]).split("\n");
  return Object.fromEntries(lines.map((line) => line.split(":\t").map((word) => word.trim())));
}

describe.skipIf(FAULT !== null)("a cluster of fresh nodes", () => {
  test("has no network", async () => {
    for (const node of cluster.nodes) expect(await node.cri.networkReady()).toBe(false);
  });

  test("the installer brings the plugins and no network", async () => {
    const daemon = cluster.makeDaemon(n1());
    await daemon.prepare();
    expect(readdirSync(n1().path("/opt/cni/bin")).sort()).toEqual([
      "loopback",
      "minicni",
      "minicni-standalone",
    ]);
    expect(readdirSync(n1().path("/etc/cni/net.d"))).toEqual([]);
    expect(await n1().cri.networkReady()).toBe(false);
    await daemon.stop();
  });

  test("the agent brings the network, last of all", async () => {
    await cluster.startDaemon(n1());
    expect(existsSync(n1().path("/run/minicni/node.json"))).toBe(true);
    expect(existsSync(n1().path(CONFLIST))).toBe(true);
    await waitFor("containerd has a network", () => n1().cri.networkReady());
    expect(cluster.daemon(n1()).log("agent")).toMatch(/resync cause=start.*\n(.*\n)*.*published cause=start/);
  });

  test("with just the capabilities of the manifest, under a seccomp filter", () => {
    const agent = processOf(n1(), "/usr/local/bin/minicni", "agent");
    expect(agent).toMatchObject({ CapEff: CAPABILITIES, CapBnd: CAPABILITIES, Seccomp: SECCOMP_FILTER });
  });

  test("a node without pod CIDR gets none, and says why", async () => {
    // As kubespray makes them.
    for (const folder of FOLDERS) {
      mkdirSync(n2().path(folder), { recursive: true });
      chownSync(n2().path(folder), OTHER_USER, OTHER_USER);
    }
    const daemon = cluster.makeDaemon(n2());
    await daemon.prepare();
    await daemon.run();
    cluster.daemons.set(n2(), daemon);
    await waitFor(
      "the agent says it",
      () => daemon.log("agent").includes("pod CIDR"),
      () => daemon.log("agent"),
    );
    expect(daemon.isReady()).toBe(false);
    expect(existsSync(n2().path(CONFLIST))).toBe(false);
    expect(await n2().cri.networkReady()).toBe(false);
  });

  test("until the Node has one; that its folders are not root's is no hindrance", async () => {
    cluster.underlay.nodes([N1, N2]);
    await cluster.daemon(n2()).ready();
    await waitFor("containerd has a network", () => n2().cri.networkReady());
    expect(FOLDERS.map((folder) => statSync(n2().path(folder)).uid)).toEqual([OTHER_USER, OTHER_USER]);
  });

  describe("traffic", () => {
    const pods: Record<string, ClusterPod> = {};
    const pod = (name: string) => {
      const found = pods[name];
      if (found === undefined) throw new Error(`no pod ${name}`);
      return found;
    };
    beforeAll(async () => {
      const host = { hostNetwork: true, port: HOST_PORT };
      const run = async (node: ClusterNode, name: string, options = {}) => {
        pods[name] = await ClusterPod.run(node, name, options);
      };
      const first = async () => {
        for (const name of ["a", "b"]) await run(n1(), name);
        await run(n1(), "host1", host);
      };
      const second = async () => {
        await run(n2(), "c");
        await run(n2(), "host2", host);
      };
      await Promise.all([first(), second()]);
    });

    test("each pod has addresses of its node's pod CIDRs", () => {
      expect(pod("a").ips).toEqual(["10.244.1.2", "fd44:0:0:1::2"]);
      expect(pod("b").ips).toEqual(["10.244.1.3", "fd44:0:0:1::3"]);
      expect(pod("c").ips).toEqual(["10.244.2.2", "fd44:0:0:2::2"]);
    });

    test("it was the agent in its container that attached them, and nothing was left to the binary", () => {
      const page = n1().must(["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:9157/metrics"]);
      const count = (command: string, outcome: string) =>
        Number(
          new RegExp(`calls_total\\{command="${command}",outcome="${outcome}"\\} (\\d+)`).exec(page)?.[1],
        );
      expect([count("ADD", "ok"), count("ADD", "error"), count("ADD", "declined")]).toEqual([2, 0, 0]);
    });

    describe.each([
      { family: "IPv4", index: 0, gateway: "10.244.1.1" },
      { family: "IPv6", index: 1, gateway: "fd44:0:0:1::1" },
    ])("$family", ({ index, gateway }) => {
      const addressOf = (name: string) => pod(name).ips[index] ?? "";
      const nodeAddress = () => n1().words.addresses[index] ?? "";

      test.each([
        ["a pod on the same node", "a", "b"],
        ["a pod on another node", "a", "c"],
        ["back", "c", "a"],
        ["its own node", "a", "host1"],
        ["another node", "a", "host2"],
        ["a node, from behind", "c", "host1"],
      ])("a pod reaches %s with its own address", async (_, client, server) => {
        const peer = await pod(client).ask(addressOf(server), pod(server).port);
        expect(peer).toBe(addressOf(client));
      });

      test("a node reaches its pods and those of others", () => {
        expect(askFromNode(n1(), addressOf("a"), 80)).toBe(gateway);
        expect(askFromNode(n1(), addressOf("c"), 80)).toBe(nodeAddress());
      });

      test("a pod on the node's network does too", async () => {
        expect(await pod("host1").ask(addressOf("b"), 80)).toBe(gateway);
        expect(await pod("host1").ask(addressOf("c"), 80)).toBe(nodeAddress());
      });

      test("full packets pass", async () => {
        const headers = index === 0 ? 28 : 48; // IP and ICMP
        const ping = ["ping", "-c", "1", "-W", "3", "-s", `${1500 - headers}`, addressOf("c")];
        expect((await pod("a").exec(...ping)).exitCode).toBe(0);
      });
    });

    test("a pod that is replaced gets other addresses, and the old ones are free", async () => {
      const before = pod("a");
      await before.remove();
      expect(attachments(n1())).toEqual(attachmentsOf([pod("b")]));
      const after = await ClusterPod.run(n1(), "a");
      pods.a = after;
      expect(after.ips).toEqual(["10.244.1.4", "fd44:0:0:1::4"]);
      for (const [index, address] of after.ips.entries()) {
        expect(await pod("c").ask(address, 80)).toBe(pod("c").ips[index] ?? "");
        expect(await after.ask(pod("c").ips[index] ?? "", 80)).toBe(address);
        expect(await pod("c").ask(before.ips[index] ?? "", 80)).toStartWith("no answer");
      }
    });

    test("after all are removed nothing of them is left", async () => {
      await Promise.all(Object.values(pods).map((each) => each.remove()));
      for (const node of cluster.nodes) expect(attachments(node)).toEqual(NO_NODE_ATTACHMENTS);
    });
  });
});
