import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { AgentNode, destroyNodes } from "./agent.ts";
import { N1, N2, N3 } from "./agent-cluster.ts";
import { DoctorNode } from "./doctor.ts";
import { BINARY, type Finished, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

/** A node whose agent brought it up and was ended: nobody puts anything back. */
async function settled(...args: string[]) {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const agent = await node.up(...args);
  await node.until("the report is written", () => plan(node).exitCode === 0, agent);
  await agent.stop();
  const doctor = new DoctorNode(node.box);
  return { node, doctor };
}

function planArgv(node: AgentNode, ...args: string[]): string[] {
  const folders = ["--state-dir", node.stateDir, "--data-dir", node.dataDir, "--conf-dir", node.confDir];
  return ["nsenter", `--net=${node.netns}`, BINARY, "plan", ...folders, ...args];
}

const plan = (node: AgentNode, ...args: string[]): Finished => run(planArgv(node, ...args));

/** The commands of a plan, run by a shell in the node. */
function runIt(node: AgentNode, text: string): void {
  const done = run(["nsenter", `--net=${node.netns}`, "sh", "-e"], { stdin: text });
  expect({ code: done.exitCode, said: done.stderr }).toEqual({ code: 0, said: "" });
}

describe("minicni plan", () => {
  test("of a node as it should be is one line, exit code 0", async () => {
    const { node } = await settled();
    const done = plan(node);
    expect([done.stdout, done.exitCode]).toEqual(["# n1: nothing to change\n", 0]);
  });

  test("shows what is missing as commands, exit code 3, changes nothing; run, they leave nothing to change", async () => {
    const { node } = await settled();
    const before = node.kernel();
    node.ip("route", "del", "10.244.2.0/24");
    node.ip("link", "del", "minicni.vxlan");
    node.box.node("iptables", "-D", "FORWARD", "-j", "MINICNI-FORWARD");
    const broken = node.kernel();
    const done = plan(node);
    expect(done.exitCode).toBe(3);
    expect(done.stdout).toContain("ip route replace 10.244.2.0/24 via 10.9.0.2");
    expect(done.stdout).toContain("# routes to the pods of peers");
    expect(node.kernel()).toBe(broken);
    runIt(node, done.stdout);
    expect(plan(node).stdout).toBe("# n1: nothing to change\n");
    expect(node.routes()).toContain("10.244.2.0/24 via 10.9.0.2 dev eth0");
    expect(before).toContain("minicni.vxlan");
  });

  test("as JSON has the steps with their reasons, and the routes that are wanted and there", async () => {
    const { node } = await settled();
    node.ip("route", "del", "10.244.2.0/24");
    const done = plan(node, "--json");
    const document = JSON.parse(done.stdout);
    expect(document).toMatchObject({
      command: "plan",
      version: 1,
      node: "n1",
      isLive: true,
      conflicts: [],
      withheld: 0,
    });
    expect(document.steps).toEqual([
      {
        op: "route.replace",
        part: "network",
        command: expect.stringContaining("10.244.2.0/24"),
        why: "routes to the pods of peers",
      },
    ]);
    expect(document.routes[0]).toEqual({ family: 4, desired: 2, programmed: 1 });
  });

  test("of a peer that is gone removes its routes; and not from a list that is no live one", async () => {
    const { node } = await settled();
    node.nodes(N1, N3);
    const done = plan(node);
    expect(done.stdout).toContain("ip route del 10.244.2.0/24");
    run(["rm", node.nodesFile]);
    const later = plan(node);
    expect(later.stdout).toContain("# n1: nothing to change");
  });

  test("names a foreign route in the way, with its owner, and leaves it", async () => {
    const { node } = await settled();
    node.ip("route", "replace", "10.244.2.0/24", "via", "10.9.0.2", "proto", "static");
    const done = plan(node);
    expect(done.stdout).toContain("in the way of a route: 10.244.2.0/24: a route of protocol 4 by eth0");
    expect(done.stdout).not.toMatch(/^ip route del/m);
  });

  test("shows what another backend would change", async () => {
    const { node } = await settled();
    const done = plan(node, "--backend", "vxlan");
    expect(done.stdout).toContain("dev minicni.vxlan");
    expect(done.exitCode).toBe(3);
  });

  test("without the right to see the rules fails, and shows the rest", async () => {
    const { node } = await settled();
    node.ip("route", "del", "10.244.2.0/24");
    const [enter = "", netns = "", ...own] = planArgv(node);
    const done = run([enter, netns, "/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all", ...own]);
    expect(done.exitCode).toBe(2);
    expect(done.stdout).toContain("ip route replace 10.244.2.0/24 via 10.9.0.2");
    expect(done.stdout).toContain("not run; the rules are not known");
  });

  test("shows the configuration that it would write anew", async () => {
    const { node } = await settled();
    writeFileSync(node.conflist, "{}");
    const done = plan(node);
    expect(done.exitCode).toBe(3);
    runIt(node, done.stdout);
    expect(plan(node).exitCode).toBe(0);
  });

  test("works on a node that never had an agent, by the Nodes and the name it is given", () => {
    const node = new AgentNode();
    node.nodes(N1, N2);
    const done = plan(node, "--nodes", node.nodesFile, "--node", "n1");
    expect(done.exitCode).toBe(3);
    expect(done.stdout).toContain("ip route replace 10.244.2.0/24 via 10.9.0.2");
    expect(done.stdout).toContain(`cat >${node.nodeJson} <<'EOF'`);
  });

  test.each([
    [
      "a node without a name",
      (node: AgentNode) => plan(node, "--nodes", node.nodesFile),
      "give it by --node",
    ],
    [
      "Nodes that are nowhere",
      (node: AgentNode) => plan(node, "--node", "n1"),
      "--nodes FILE or --kubeconfig FILE",
    ],
    [
      "a file that is not there",
      (node: AgentNode) => plan(node, "--node", "n1", "--nodes", "/nonexistent"),
      "there is no file /nonexistent",
    ],
    [
      "a Node of another name",
      (node: AgentNode) => plan(node, "--node", "n7", "--nodes", node.nodesFile),
      "Node n7 is not among the 1 Nodes",
    ],
    [
      "a backend that there is none of",
      (node: AgentNode) => plan(node, "--backend", "bgp"),
      "Allowed choices are auto, host-gw, vxlan",
    ],
  ])("fails with exit code 2 for %s, and says what to do", (_what, call, said) => {
    const node = new AgentNode();
    node.nodes(N1);
    const done = call(node);
    expect(done.stderr).toContain(said);
    expect([done.exitCode, done.stdout]).toEqual([2, ""]);
  });
});

describe("B1 and B7 of the doctor", () => {
  test("are no finding on a node as it should be, and skipped on one without an agent", async () => {
    const { doctor } = await settled();
    expect(doctor.findings("B1,B7").map(({ id, level }) => `${id} ${level}`)).toEqual(["B1 pass", "B7 pass"]);
    const alone = new DoctorNode().findings("B1,B7");
    expect(alone.map(({ id, level }) => `${id} ${level}`)).toEqual(["B1 skip", "B7 skip"]);
  });

  test("B1 names a missing route, a stale one and a foreign one, and the commands end all three", async () => {
    const { node, doctor } = await settled();
    node.ip("route", "del", "10.244.2.0/24");
    node.ip("route", "add", "10.244.9.0/24", "via", "10.9.0.9", "proto", "157");
    const found = doctor.findings("B1");
    expect(found.map(({ level, message }) => `${level} ${message}`)).toEqual([
      "fail 1 of 4 routes to peers missing, or other than wanted: 10.244.2.0/24",
      "warn 1 route of ours that no Node accounts for: 10.244.9.0/24",
    ]);
    for (const { fix } of found) for (const line of fix) node.box.node(...(line.split(" ") as [string]));
    expect(doctor.findings("B1").map(({ level }) => level)).toEqual(["pass"]);
    node.ip("route", "replace", "10.244.2.0/24", "via", "10.9.0.2", "proto", "80");
    const [conflict] = doctor.findings("B1");
    expect(conflict?.message).toBe("1 route of others where ours should be: 10.244.2.0/24");
    expect(conflict?.evidence[0]).toContain("Calico's");
    node.box.node(...((conflict?.fix[0] ?? "").split(" ") as [string]));
  });

  test("B7 names a chain without its jump, and rules that somebody emptied; the fix can be pasted", async () => {
    const { node, doctor } = await settled();
    node.box.node("iptables", "-D", "FORWARD", "-j", "MINICNI-FORWARD");
    node.box.node("ip6tables", "-t", "nat", "-F", "MINICNI-POSTROUTING");
    const [finding] = doctor.findings("B7");
    expect(finding).toMatchObject({ level: "fail" });
    expect(finding?.evidence).toEqual([
      "IPv4 MINICNI-FORWARD: missing jump",
      "IPv6 MINICNI-POSTROUTING: rules differ",
    ]);
    runIt(node, (finding?.fix ?? []).join("\n"));
    expect(doctor.findings("B7").map(({ level }) => level)).toEqual(["pass"]);
  });
});
