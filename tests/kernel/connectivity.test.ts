import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, v4 } from "./agent.ts";
import { causesOf, linesOf, look, makeCluster } from "./connectivity.ts";
import { between, loadRules } from "./doctor-network.ts";
import { hasSandbox, makeNeighbours, probe, probeConfig, traces } from "./probe-nodes.ts";

setDefaultTimeout(90_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

describe("all well", () => {
  test.each(["auto", "vxlan", "host-gw"])(
    "by backend %s: both families, full packets, nothing left",
    async (backend) => {
      const { here, addresses, config } = await makeCluster([4, 6], "--backend", backend);
      const to = addresses.flatMap((address) => ["--to", address]);
      // The first pod of a node makes its bridge, switches forwarding on, and opens its store.
      here.box.add(here.box.pod(), JSON.parse(readFileSync(config, "utf8")));
      const before = traces(here);
      const { exitCode, probes, findings, mtu, pod } = look(here, ...to);
      expect([exitCode, findings]).toEqual([0, []]);
      expect(mtu).toBe(backend === "vxlan" ? 1430 : 1500);
      const tunnel = backend === "host-gw" ? [] : ["pod tunnel 4 ok", "pod tunnel 6 ok"];
      expect(linesOf(probes, "n2")).toEqual([
        "node node 4 ok",
        "node node 6 ok",
        "pod node 4 ok",
        "pod node 6 ok",
        ...tunnel,
        "pod gateway 4 ok",
        "pod gateway 6 ok",
      ]);
      expect(linesOf(probes, null).sort()).toEqual([
        "node given 4 ok",
        "node given 6 ok",
        "pod given 4 ok",
        "pod given 6 ok",
        "pod own 4 ok",
        "pod own 4 ok",
        "pod own 6 ok",
        "pod own 6 ok",
      ]);
      expect(traces(here)).toEqual(before);
      expect(hasSandbox(pod?.containerId ?? "")).toBe(false);
    },
  );

  test("as text; a peer without pods has no gateway address yet", async () => {
    const { here, there } = makeNeighbours(4);
    await here.up();
    await there.up();
    const { exitCode, stdout } = probe(here, "connectivity", "--config", probeConfig(here));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^node +n1\npeers +1\n/);
    expect(stdout).toMatch(/\npod → n2 gateway +10\.244\.2\.1 +absent/);
    expect(stdout).toMatch(/\n6 probes: 5 ok, 1 absent \(the gateway .*\); all well\n$/);
  });

  test("a node alone: no peers, and a pod reaches its own node", async () => {
    const node = new AgentNode([4]);
    node.nodes(v4(N1));
    await node.up();
    const { exitCode, stdout } = probe(node, "connectivity", "--config", probeConfig(node));
    expect(exitCode).toBe(0);
    expect(stdout).toContain("none: this is the only Node");
    expect(stdout).toMatch(/2 probes: 2 ok; all well\n$/);
  });
});

describe("broken on purpose", () => {
  test("a narrower link between the nodes: full packets are lost, and small ones arrive", async () => {
    const { here } = await makeCluster([4, 6], "--backend", "vxlan");
    between(here, "link", "set", "port2", "mtu", "1400");
    const { exitCode, probes, findings } = look(here);
    expect(exitCode).toBe(1);
    expect(causesOf(findings)).toEqual([
      [
        "n2",
        [4, 6],
        "small packets arrive, full ones that nobody may cut do not: a link between the nodes takes less than the 1500 bytes of eth0; nobody says how much fits",
      ],
    ]);
    expect(findings[0]?.evidence).toContain(
      "node → 10.9.0.2: small packet answered, 1480 bytes silent; ip route get: 10.9.0.2 dev eth0 src 10.9.0.1 uid 0 cache",
    );
    expect(findings[0]?.evidence).toContain(
      "links of this node: eth0 mtu 1500, minicni.vxlan mtu 1450, minicni.vxlan6 mtu 1430, minicni0 mtu 1430",
    );
    expect(findings[0]?.fix[0]).toContain("or set MINICNI_MTU to what fits (pods have 1430)");
    // A tunnel's own IPv4 packets may be cut on the way (by br_netfilter here): those of pods may arrive in it.
    expect(linesOf(probes, "n2")).toEqual(
      expect.arrayContaining([
        "node node 4 cut",
        "node node 6 cut",
        "pod node 4 cut",
        "pod node 6 cut",
        "pod tunnel 6 cut",
      ]),
    );
    expect(linesOf(probes, null).filter((line) => !line.endsWith(" ok"))).toEqual([]);
  });

  test("a firewall that drops the tunnel: the node answers, its pods do not", async () => {
    const { here, there } = await makeCluster([4, 6], "--backend", "vxlan");
    loadRules(there, "type filter hook input priority -200;", "udp dport 8472 drop");
    const before = traces(here).reservations;
    const { exitCode, findings } = look(here);
    expect(exitCode).toBe(1);
    expect(causesOf(findings)).toEqual([
      [
        "n2",
        [4, 6],
        "n2 answers, its pods do not: the tunnel (UDP port 8472) is dropped on the way or on n2",
      ],
    ]);
    expect(findings[0]?.evidence[0]).toMatch(
      /^pod → 10\.244\.2\.0: small packet silent; ip route get: .* dev minicni\.vxlan /,
    );
    expect(traces(here).reservations).toEqual(before);
  });

  test("one family alone", async () => {
    const { here, there } = await makeCluster([4, 6], "--backend", "vxlan");
    loadRules(there, "type filter hook input priority -200;", "ip6 version 6 udp dport 8472 drop");
    expect(causesOf(look(here).findings)).toEqual([
      ["n2", [6], expect.stringMatching(/^n2 answers, its pods do not: .*; IPv4 is well$/)],
    ]);
  });

  test("a route that is gone, and no agent to make it again", async () => {
    const { here, agents } = await makeCluster([4], "--backend", "vxlan");
    await agents.here.stop("SIGKILL");
    here.ip("route", "del", "10.244.2.0/24");
    const { exitCode, findings } = look(here);
    expect(exitCode).toBe(1);
    expect(causesOf(findings)).toEqual([
      [
        "n2",
        [4],
        expect.stringMatching(/^this node has no route to the pods of n2 \(10\.244\.2\.0, 10\.244\.2\.1\)$/),
      ],
    ]);
    expect(findings[0]?.evidence[0]).toContain("; ip route get: 10.244.2.0 via 10.9.0.254 dev eth0");
  });

  test("a peer that is down", async () => {
    const { here, there } = await makeCluster([4], "--backend", "host-gw");
    there.ip("link", "set", "eth0", "down");
    expect(causesOf(look(here).findings)).toEqual([
      ["n2", [4], "n2 does not answer at all: it is down, or a firewall is in between"],
    ]);
  });

  test("no pod can be made: nodes are probed all the same", async () => {
    const { here, there } = makeNeighbours(4);
    await here.up();
    await there.up();
    here.box.node("ip", "link", "add", "br9", "type", "veth", "peer", "name", "br8");
    const config = probeConfig(here, { bridge: "br9" });
    const { exitCode, stdout } = probe(here, "connectivity", "--config", config);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("a pod can't be attached on this node\n  the ADD for network minicni ");
    expect(stdout).toMatch(/\nnode → n2 +10\.9\.0\.2 +ok/);
  });
});
