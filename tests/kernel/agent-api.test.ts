import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Misbehaviour, startApiServer } from "../twin/apiserver.ts";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3, type NodeWords, nodeItem } from "./agent.ts";
import { relay } from "./relay.ts";

setDefaultTimeout(60_000);

type Server = Awaited<ReturnType<typeof startApiServer>>;
const opened: { stop(): unknown }[] = [];
const cleanUp = async () => {
  await destroyNodes();
  for (const it of opened.splice(0)) it.stop();
};
afterEach(cleanUp);
afterAll(cleanUp);

const raw = (node: NodeWords, number = 1) => {
  const item = nodeItem(node);
  const creationTimestamp = `2026-01-0${number}T00:00:00Z`;
  return { ...item, metadata: { ...item.metadata, creationTimestamp } };
};

async function cluster(...nodes: readonly NodeWords[]) {
  const server = await startApiServer({ nodes: nodes.map((node, index) => raw(node, index + 1)) });
  opened.push(server);
  const node = new AgentNode();
  const link = relay(node.netns, server.port);
  opened.push(link);
  return { server, node, link };
}

/** With a token in a file, as a ServiceAccount has it. */
function start(node: AgentNode, server: Server): Agent {
  const kubeconfig = server.kubeconfigPath("none", { tokenFile: server.tokenFile });
  return node.start({ args: ["--kubeconfig", kubeconfig] });
}

const ROUTES = 4;

test("the Nodes of the API: routes, changes as they come, a token that is rotated", async () => {
  const { server, node } = await cluster(N1, N2);
  const agent = start(node, server);
  await agent.ready();
  expect(node.routes()).toHaveLength(2);
  server.upsert(raw(N3, 3));
  await node.until("n3 is there", () => node.routes().length === ROUTES, agent);
  server.remove("n3");
  await node.until("n3 is gone", () => node.routes().length === 2, agent);
  server.rotateToken("token-2");
  server.cutWatches("reset");
  server.upsert(raw(N3, 3));
  await node.until("n3 is there again", () => node.routes().length === ROUTES, agent);
  await agent.ready();
  expect(agent.page("/metrics")).toMatch(/minicni_agent_api_\w+\{kind="watch"\} [1-9]/);
});

describe("a first list that fails is tried again; until then nothing is touched", () => {
  const cases: readonly (readonly [string, Misbehaviour, RegExp])[] = [
    ["401", { status: 401 }, /401/],
    ["403", { status: 403, message: "nodes is forbidden" }, /403.*forbidden/],
    ["410", { status: 410 }, /410/],
    ["429", { status: 429, retryAfterS: 1 }, /429/],
    ["500", { status: 500 }, /500/],
    ["an empty answer", { text: "" }, /warn nodes fault/],
    ["something else", { text: "<html>" }, /warn nodes fault/],
    ["a cut answer", { cutAfterBytes: 300 }, /warn nodes fault/],
  ];
  test.each(cases)("%s", async (_what, misbehaviour, told) => {
    const { server, node } = await cluster(N1, N2, N3);
    node.ip("route", "add", "10.244.20.0/24", "via", "10.9.0.20", "proto", "157");
    server.behave({ on: "list", times: 2, ...misbehaviour });
    const agent = start(node, server);
    await agent.says(told);
    expect(node.routes()).toEqual(["10.244.20.0/24 via 10.9.0.20 dev eth0"]);
    expect(agent.isReady()).toBe(false);
    await node.until("all is there, and what is stale gone", () => node.routes().length === ROUTES, agent);
    await agent.ready();
  });
});

describe("a watch that breaks costs no route", () => {
  const breaks: Readonly<Record<string, (server: Server) => void>> = {
    "cut in the middle of a line": (server) => server.cutWatches("mid-line"),
    reset: (server) => server.cutWatches("reset"),
    "ended, and its version is gone (410)": (server) => {
      server.compact();
      server.cutWatches("end");
    },
    "that says 410 itself": (server) => {
      const status = { kind: "Status", apiVersion: "v1", status: "Failure", code: 410, reason: "Expired" };
      server.send(`${JSON.stringify({ type: "ERROR", object: status })}\n`);
    },
    "with lines that are no events": (server) => {
      server.send('{"type":"MODIFIED","object":{"kind":"Node","metadata":{}}}\n');
      server.send('{"type":"MODIFIED","object":{"metadata":{"name":"n2"},"spec":{"podCIDRs":7}}}x\n');
    },
    "while the server answers 500": (server) => {
      server.behave({ status: 500, times: 2 });
      server.cutWatches("reset");
    },
  };
  test.each(Object.entries(breaks))("%s", async (_what, breakIt) => {
    const { server, node } = await cluster(N1, N2);
    const agent = start(node, server);
    await agent.ready();
    const monitor = `${node.box.dir}/monitor`;
    const watch = Bun.spawn({
      cmd: ["nsenter", `--net=${node.netns}`, "ip", "-o", "monitor", "route"],
      stdio: ["ignore", Bun.file(monitor), "ignore"],
    });
    try {
      await node.until("it watches", () => server.openWatches() === 1, agent);
      breakIt(server);
      await Bun.sleep(300);
      server.upsert(raw(N3, 3));
      await node.until("what came meanwhile is there", () => node.routes().length === ROUTES, agent);
      expect(await Bun.file(monitor).text()).not.toMatch(/Deleted (10\.244|fd44)/);
      await agent.ready();
    } finally {
      watch.kill();
      await watch.exited;
    }
  });
});

describe("no API server at the start", () => {
  test("nothing known: it waits, says so, and begins when the server comes", async () => {
    const { server, node, link } = await cluster(N1, N2, N3);
    link.stop();
    const agent = start(node, server);
    await agent.says(/warn nodes fault/);
    await node.until("node.json says why", () => node.published().ready === false, agent);
    expect(node.routes()).toEqual([]);
    expect(agent.page("/healthz")).toContain("healthz check passed");
    opened.push(relay(node.netns, server.port));
    await agent.ready();
    expect(node.routes()).toHaveLength(ROUTES);
  });

  test("the last known Nodes do: pods come, nothing is removed; the rest follows with the server", async () => {
    const { server, node, link } = await cluster(N1, N2, N3);
    const first = start(node, server);
    await first.ready();
    await node.until(
      "they are kept",
      () => node.kernel() !== "" && Bun.file(`${node.dataDir}/nodes.json`).size > 0,
      first,
    );
    await first.stop();
    link.stop();
    node.box.node("rm", node.nodeJson, node.conflist);
    node.ip("route", "del", "10.244.2.0/24");
    node.ip("route", "add", "10.244.20.0/24", "via", "10.9.0.20", "proto", "157");
    server.remove("n3");
    const agent = start(node, server);
    await node.until(
      "it is published",
      () => node.published().ready === true && Bun.file(node.conflist).size > 0,
      agent,
    );
    expect(node.routes()).toHaveLength(ROUTES + 1);
    expect(agent.page("/readyz")).toContain("working from the last known Nodes on disk");
    opened.push(relay(node.netns, server.port));
    await node.until("n3 and what is stale are gone", () => node.routes().length === 2, agent);
    await agent.ready();
  });
});
