import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, nodeItem, v4 } from "./agent.ts";
import { BINARY, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** `minicni status` on a node, as a person runs it; `before`: put before the binary. */
function status(node: AgentNode, args: readonly string[] = [], before: readonly string[] = []) {
  const folders = ["--state-dir", node.stateDir, "--data-dir", node.dataDir, "--conf-dir", node.confDir];
  return run(["nsenter", `--net=${node.netns}`, ...before, BINARY, "status", ...folders, ...args]);
}

const json = (node: AgentNode, ...args: string[]) => JSON.parse(status(node, ["--json", ...args]).stdout);
const isWell = (node: AgentNode) => () => status(node).exitCode === 0;
/** The line that begins with a name. */
const lineOf = (text: string, name: string) =>
  text.split("\n").find((line) => line.startsWith(`${name} `)) ?? "";

async function healthy(...args: string[]) {
  const node = new AgentNode([4]);
  node.nodes(v4(N1), v4(N2));
  const agent = await node.up(...args);
  await node.until("status says that all is well", isWell(node), agent);
  return { node, agent };
}

describe("this node", () => {
  test("that is healthy: what is there, nothing wrong, exit 0; with what a pod takes", async () => {
    const { node } = await healthy();
    const before = node.kernel();
    const { stdout, stderr } = status(node);
    expect(stderr).toBe("");
    expect(stdout).toStartWith("node n1\n");
    expect(lineOf(stdout, "agent")).toMatch(/running for .* \(minicni .*, pid \d+\)/);
    expect(lineOf(stdout, "Nodes")).toContain(`2 from file ${node.nodesFile}, heard`);
    expect(lineOf(stdout, "peers")).toContain("1 of 1");
    expect(lineOf(stdout, "routes")).toContain("IPv4 1 of 1");
    expect(lineOf(stdout, "ready")).toContain("yes (nodes, routes, rules, published)");
    expect(stdout).toEndWith("\nall well\n");
    expect(node.kernel()).toBe(before);

    const conf = node.box.conf();
    writeFileSync(`${node.confDir}/20-test.conflist`, JSON.stringify({ ...conf, plugins: [conf] }));
    node.box.add(node.box.pod(), conf);
    const { name } = conf;
    expect(lineOf(status(node).stdout, "attachments")).toContain(`1 (${name} 1)`);
    expect(json(node).ranges.find((range: { network: string }) => range.network === name)).toMatchObject({
      used: 1,
    });
  });

  test("repairs what somebody removes, and tells what, why and when", async () => {
    const { node, agent } = await healthy();
    node.ip("route", "del", "10.244.2.0/24");
    const command = "ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157";
    const isTold = () => status(node).stdout.includes(`ago, route (kernel): ${command}`);
    await node.until("the repair is told", isTold, agent);
    await node.until("all is well", isWell(node), agent);
  });

  test("with a route of somebody else in the way: the peer, whose route, the command", async () => {
    const { node, agent } = await healthy();
    node.ip("route", "replace", "10.244.2.0/24", "via", "10.9.0.7", "proto", "static");
    const isTold = () => lineOf(status(node).stdout, "conflicts").includes("1 route of others");
    await node.until("the conflict is told", isTold, agent);
    const { stdout, exitCode } = status(node);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(
      / {2}peer n2: .*in the way.*remove it: ip route del 10.244.2.0\/24 via 10.9.0.7 dev eth0 proto 4\n/,
    );
    expect(lineOf(stdout, "routes")).toContain("IPv4 0 of 1");
    expect(stdout).toContain("1 thing wrong");
  });

  test("whose agent was killed: says so, and what has gone since", async () => {
    const { node, agent } = await healthy();
    await agent.stop("SIGKILL");
    node.ip("route", "del", "10.244.2.0/24");
    const { stdout, exitCode } = status(node);
    expect(exitCode).toBe(1);
    expect(lineOf(stdout, "agent")).toMatch(/not running: last heard .* ago/);
    expect(stdout).toContain("agent: has ended without a word (killed?)");
    expect(stdout).toContain("routes: not there now: 10.244.2.0/24 of n2");
  });

  test("whose agent was stopped: says since when", async () => {
    const { node, agent } = await healthy();
    expect(await agent.stop()).toBe(0);
    const { stdout, exitCode } = status(node);
    expect(exitCode).toBe(1);
    expect(lineOf(stdout, "agent")).toMatch(/stopped .* ago/);
    expect(lineOf(stdout, "routes")).toContain("IPv4 1 of 1");
    expect(json(node)).toMatchObject({ agent: { life: "stopped" }, published: { notReady: null } });
  });

  test("whose agent.json is damaged: the rest is shown, and the agent writes it again", async () => {
    const { node, agent } = await healthy();
    writeFileSync(`${node.stateDir}/agent.json`, "{]");
    const { stdout, exitCode } = status(node);
    expect(exitCode).toBe(1);
    expect(lineOf(stdout, "agent")).toContain("running, not readable");
    expect(stdout).toContain(`${node.stateDir}/agent.json is no report of an agent`);
    expect(lineOf(stdout, "pod CIDRs")).toContain("10.244.1.0/24");
    expect(lineOf(stdout, "routes")).toContain("IPv4 1, IPv6 0 of ours");
    node.nodes(v4(N1));
    await node.until("it is written again", isWell(node), agent);
  });

  test("seen by somebody who is not root: what could not be seen is named, the rest is shown", async () => {
    const { node } = await healthy();
    const { stdout, exitCode } = status(node, [], NOBODY);
    expect(exitCode).toBe(1);
    expect(lineOf(stdout, "agent")).toContain("can't be seen");
    expect(lineOf(stdout, "routes")).toContain("IPv4 1, IPv6 0 of ours");
    expect(stdout).toMatch(/not seen, run as root \(\d\)\n.*agent.json can't be read: EACCES/);
  });

  test("without an agent, and nothing of ours", () => {
    const node = new AgentNode([4]);
    const { stdout, exitCode } = status(node);
    expect(exitCode).toBe(1);
    expect(lineOf(stdout, "agent")).toContain("not running");
    expect(stdout).toContain("agent: none has run in this boot");
    expect(lineOf(stdout, "devices")).toContain("none of ours");
  });

  test("with --once or a dry run nobody tells of himself", () => {
    const node = new AgentNode([4]);
    node.nodes(v4(N1), v4(N2));
    expect(node.once("--dry-run").exitCode).toBe(3);
    expect(node.once().exitCode).toBe(0);
    expect(json(node).agent.life).toBe("absent");
  });
});

describe("the cluster", () => {
  const LEFT_OUT = { ...nodeItem({ name: "n3", podCidrs: [], addresses: ["10.9.0.3"] }), spec: {} };

  test("of two nodes that ask each other, one Node without pod CIDR, and then one agent that ended", async () => {
    const n1 = new AgentNode([4], 1);
    const n2 = new AgentNode([4], 2, n1);
    const agents = [n1, n2].map((node) => {
      node.nodes(v4(N1), v4(N2), LEFT_OUT);
      return node.start({ args: ["--listen", ":9157"] });
    });
    await Promise.all(agents.map((agent) => agent.ready()));
    const rows = (...args: string[]) => json(n1, "--cluster", ...args).nodes;
    const isSynced = () => rows()[1]?.agent?.lastSyncMs != null && rows()[0]?.agent?.lastSyncMs != null;
    await n1.until("both agents have told of a sync", isSynced, agents[0]);
    expect(rows()).toMatchObject([
      { name: "n1", path: "self", routes: null, agent: { routes: { want: 1, have: 1 } } },
      {
        ...{ name: "n2", addresses: ["10.9.0.2"], podCidrs: ["10.244.2.0/24"], path: "direct" },
        ...{ routes: { want: 1, have: 1 }, agent: { routes: { want: 1, have: 1 } } },
      },
      { name: "n3", path: null, agent: null },
    ]);
    expect(rows()[2].wrong[0]).toStartWith("left out: ");
    const { stdout, exitCode } = status(n1, ["--cluster"]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("2 of 2 agents answered");
    expect(stdout).toMatch(/^n2 +10.9.0.2 +10.244.2.0\/24 +direct +1\/1 /m);

    await agents[1]?.stop();
    const names = (...args: string[]) => rows("--faulty", ...args).map(({ name }: { name: string }) => name);
    expect(names()).toContain("n2");
    expect(status(n1, ["--cluster"]).stdout).toContain("n2: its agent: 10.9.0.2:9157 connection refused");
  });

  test("where agents listen on loopback: they are not asked, and it says how they could be", async () => {
    const { node } = await healthy();
    const { stdout, exitCode } = status(node, ["--cluster"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("agents of other nodes were not asked: agents listen on 127.0.0.1:9157");
    expect(stdout).toContain("MINICNI_LISTEN=:9157");
    expect(lineOf(stdout, "n2")).toContain("not asked");
  });

  test("without any Nodes: it failed, and says what to name", () => {
    const node = new AgentNode([4]);
    const { stderr, exitCode } = status(node, ["--cluster"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("name a source: --kubeconfig FILE, or --nodes FILE");
  });
});

test("/status.json has what agent.json has; the brief one leaves out peers that are well", async () => {
  const { node, agent } = await healthy();
  const { writtenAt: _of, ...kept } = JSON.parse(readFileSync(`${node.stateDir}/agent.json`, "utf8"));
  const { writtenAt: _now, ...served } = JSON.parse(agent.page("/status.json"));
  expect(Object.keys(served)).toEqual(Object.keys(kept));
  expect(served).toMatchObject({ settings: kept.settings, peers: kept.peers, startedAt: kept.startedAt });
  expect(JSON.parse(agent.page("/status-brief.json")).peers).toEqual([]);
});
