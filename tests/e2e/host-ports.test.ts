import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { hostVethName, ifbName } from "../../src/net/ifname.ts";
import { waitFor } from "../kernel/agent.ts";
import { Cluster, clusterFault } from "./cluster.ts";
import { ClusterPod } from "./cluster-pod.ts";
import { attachments, attachmentsOf, type NodeState } from "./cluster-state.ts";
import {
  askWho,
  inNetns,
  inPod,
  onNode,
  type Place,
  resultOfPod,
  serveUdp,
  stopChildren,
  UdpClient,
} from "./host-ports.ts";
import {
  BEHIND,
  connectOutside,
  FAMILIES,
  nodeState,
  ONE_ADDRESS_PORT,
  OPTIONS,
  OUTSIDE,
  PORT,
  UDP_PORT,
} from "./host-ports-cluster.ts";

setDefaultTimeout(120_000);

const FAULT = clusterFault();
if (FAULT !== null) process.stderr.write(`skipped: a cluster of containerds: ${FAULT}\n`);

/** Nobody answers between two pods; so many questions may be lost behind that. */
const LOST_QUESTIONS = 20;
const SOURCE_PORT = 40_000;

let cluster: Cluster;
const n1 = () => cluster.node(0);
const n2 = () => cluster.node(1);
let outside = "";
/** On n1, and on n2; neither has a port. */
let beside: ClusterPod;
let far: ClusterPod;
/** Has the ports first. */
let web: ClusterPod;
/** Has them then. */
let heir: ClusterPod;
let before: NodeState;
let stopServer = async () => {};

beforeAll(async () => {
  if (FAULT !== null) return;
  cluster = await Cluster.boot();
  await cluster.apply();
  outside = await connectOutside(cluster, n1());
  beside = await ClusterPod.run(n1(), "beside");
  far = await ClusterPod.run(n2(), "far");
  before = nodeState(n1());
  web = await ClusterPod.run(n1(), "web", OPTIONS);
  stopServer = await serveUdp(cluster.folder, web, UDP_PORT);
});
afterAll(async () => {
  stopChildren();
  await cluster?.destroy();
});

/** The node's address that is asked. */
const nodeAddress = (index: number) => n1().words.addresses[index] ?? "";
/** Whether the ports lead to a pod, from outside and by both families. */
async function expectPorts(pod: ClusterPod): Promise<void> {
  for (const { index } of FAMILIES)
    expect(await askWho(inNetns(outside), nodeAddress(index), PORT)).toBe(
      `${pod.name} from ${OUTSIDE[index]}`,
    );
}

describe.skipIf(FAULT !== null)("a pod with host ports and limits", () => {
  test("is one as any other to the runtime, whose result tells of the ifb", async () => {
    expect(await n1().cri.podStatus(web.id)).toEqual({ ready: true, ips: web.ips });
    const key = ["minicni", web.id, "eth0"] as const;
    const links = resultOfPod(web).interfaces.map(({ name }) => name);
    expect(links).toEqual(["minicni0", hostVethName(...key), "eth0", ifbName(...key)]);
  });

  describe.each(FAMILIES)("$family", ({ index, gateway }) => {
    // The node's own address is seen only where the answer would not come back through the node.
    const places: readonly (readonly [name: string, place: () => Place, asker: () => string | undefined])[] =
      [
        ["outside", () => inNetns(outside), () => OUTSIDE[index]],
        ["the node itself", () => onNode(n1()), () => nodeAddress(index)],
        ["the pod itself", () => inPod(web), () => gateway],
        ["a pod beside it", () => inPod(beside), () => gateway],
        ["another node", () => onNode(n2()), () => n2().words.addresses[index]],
        ["a pod of another node", () => inPod(far), () => far.ips[index]],
      ];
    test.each(places)("is reached by its node's address from %s", async (_, place, asker) => {
      expect(await askWho(place(), nodeAddress(index), PORT)).toBe(`web from ${asker()}`);
    });

    test("has none of what the node only routes to the same port", async () => {
      const behind = BEHIND[index] ?? "";
      expect(await askWho(inNetns(outside), behind, PORT)).toBe(`elsewhere from ${OUTSIDE[index]}`);
      expect(await askWho(inPod(beside), behind, PORT)).toBe(`elsewhere from ${nodeAddress(index)}`);
      expect(await askWho(inPod(web), behind, PORT)).toBe(`elsewhere from ${nodeAddress(index)}`);
    });

    test("has nothing of that port on another node", async () => {
      const address = n2().words.addresses[index] ?? "";
      expect(await askWho(inNetns(outside), address, PORT)).toStartWith("no answer");
    });
  });

  test("has a port of one address at that address, and at no other of the node", async () => {
    const [v4, v6] = FAMILIES;
    const ask = (address: string, port: number) => askWho(inPod(beside), address, port);
    expect(await ask(nodeAddress(v4.index), ONE_ADDRESS_PORT)).toBe(`web from ${v4.gateway}`);
    expect(await ask(v4.gateway, PORT)).toBe(`web from ${v4.gateway}`);
    for (const address of [v4.gateway, nodeAddress(v6.index)])
      expect(await ask(address, ONE_ADDRESS_PORT)).toStartWith("no answer");
  });

  test("is limited: what it receives on its host-side veth, what it sends on its ifb", () => {
    const key = ["minicni", web.id, "eth0"] as const;
    const [veth, ifb] = [hostVethName(...key), ifbName(...key)];
    const shown = (...words: string[]) => n1().must(["tc", ...words]);
    expect(shown("qdisc", "show", "dev", veth)).toMatch(/tbf .* rate 80Mbit[\s\S]*ingress/);
    expect(shown("qdisc", "show", "dev", ifb)).toMatch(/tbf .* rate 40Mbit/);
    expect(shown("filter", "show", "dev", veth, "ingress")).toContain(`Egress Redirect to device ${ifb}`);
  });

  test("keeps its ports from a second one, which is told who has them, and of which nothing is left", async () => {
    const state = nodeState(n1());
    await expect(ClusterPod.run(n1(), "second", OPTIONS)).rejects.toThrow(
      `host port tcp ${PORT} is held by ${web.id} eth0 of network minicni`,
    );
    expect(nodeState(n1())).toEqual(state);
    expect(attachments(n1())).toEqual(attachmentsOf([beside, web]));
    await expectPorts(web);
  });
});

describe.skipIf(FAULT !== null)("a pod that is replaced", () => {
  /** A client of each family, that asks all the time from one socket. */
  const clients: UdpClient[] = [];

  /** Starts a pod with the same ports, and expects that TCP and UDP lead to it, UDP from the same sockets as before. */
  async function replace(name: string): Promise<void> {
    heir = await ClusterPod.run(n1(), name, OPTIONS);
    await expectPorts(heir);
    stopServer = await serveUdp(cluster.folder, heir, UDP_PORT);
    for (const [index, client] of clients.entries()) {
      const last = client.asked() + LOST_QUESTIONS;
      const hasTried = () => client.answers(name).length > 0 || client.asked() > last;
      await waitFor(`${name} had its chance`, hasTried);
      expect(client.answers(name)[0]?.from).toBe(nodeAddress(index));
    }
  }

  test("answers over UDP until its end", async () => {
    for (const { index } of FAMILIES) {
      const source = SOURCE_PORT + index;
      clients.push(new UdpClient(cluster.folder, outside, nodeAddress(index), PORT, source));
    }
    for (const [index, client] of clients.entries()) {
      await waitFor("the first pod answers", () => client.answers("web").length >= 3);
      expect(client.answers("web")[0]?.from).toBe(nodeAddress(index));
    }
  });

  test("leaves neither link, nor queue, nor rule", async () => {
    await stopServer();
    await web.remove();
    expect(nodeState(n1())).toEqual(before);
    expect(attachments(n1())).toEqual(attachmentsOf([beside]));
    expect(await askWho(inNetns(outside), nodeAddress(0), PORT)).toStartWith("no answer");
  });

  test("has an heir to its ports, though the clients are tracked to the node itself by then", async () => {
    const tracked = () => n1().must(["conntrack", "-L", "-p", "udp", "--dport", `${PORT}`]);
    for (const { index } of FAMILIES) {
      const answer = `src=${nodeAddress(index)} dst=${OUTSIDE[index]} sport=${PORT}`;
      await waitFor("the node has nobody to lead them to", () => tracked().includes(answer), tracked);
    }
    await replace("heir");
  });

  test("has one at once, while they are tracked to the one before", async () => {
    await stopServer();
    await heir.remove();
    await replace("next");
  });
});

describe.skipIf(FAULT !== null)("the agent", () => {
  test("served all of that, and nothing was left to the binary", () => {
    const page = n1().must(["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:9157/metrics"]);
    const count = (command: string, outcome: string) =>
      Number(new RegExp(`calls_total\\{command="${command}",outcome="${outcome}"\\} (\\d+)`).exec(page)?.[1]);
    expect([count("ADD", "ok"), count("ADD", "error"), count("ADD", "declined")]).toEqual([4, 1, 0]);
    expect([count("DEL", "error"), count("DEL", "declined")]).toEqual([0, 0]);
  });

  test("brings the rules back that somebody flushed", async () => {
    const programs = ["iptables", "ip6tables"];
    for (const program of programs) n1().must([program, "-t", "nat", "-F"]);
    const answers = async (index: number) =>
      (await askWho(inNetns(outside), nodeAddress(index), PORT)) === `${heir.name} from ${OUTSIDE[index]}`;
    const said = () => cluster.daemon(n1()).log("agent");
    for (const { family, index } of FAMILIES)
      await waitFor(`the port of ${family} answers again`, () => answers(index), said);
    const jumps = (program: string) => n1().must([program, "-t", "nat", "-S", "POSTROUTING"]);
    for (const program of programs)
      await waitFor(
        "those of the masquerade too",
        () => jumps(program).includes("-j MINICNI-POSTROUTING"),
        said,
      );
  });

  test("may stop: the ports stay, and the plugin gives them to the next pod by itself", async () => {
    expect(await cluster.daemon(n1()).stopContainer("agent")).toBe(0);
    await expectPorts(heir);
    await stopServer();
    await heir.remove();
    heir = await ClusterPod.run(n1(), "alone", OPTIONS);
    await expectPorts(heir);
  });

  test("changes nothing of that when it is back, and takes all of it away in the end", async () => {
    const state = nodeState(n1());
    await cluster.daemon(n1()).restartContainer("agent");
    await cluster.daemon(n1()).ready();
    expect(nodeState(n1())).toEqual(state);
    await expectPorts(heir);
    await heir.remove();
    expect(attachments(n1())).toEqual(attachmentsOf([beside]));
    expect(n1().must(["ip", "-o", "link", "show", "type", "ifb"])).toBe("");
    for (const rules of ["iptables-save", "ip6tables-save"])
      expect(n1().must([rules])).not.toMatch(/MINICNI-(HOSTPORT|DNAT)/);
  });
});
