import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync, rmSync } from "node:fs";
import { answer, type Behaviour, type FileId, hello, identify, StubAgent } from "./launcher-agent.ts";
import {
  type CallOptions,
  type Node,
  openPipe,
  Programs,
  STANDALONE_CODE,
  unblock,
} from "./launcher-start.ts";
import type { Finished } from "./views.ts";

setDefaultTimeout(30_000);

const DETAILS = "the runtime tries again; see the agent's log: kubectl -n kube-system logs ds/minicni";

let programs: Programs;
const agents: StubAgent[] = [];
beforeAll(() => {
  programs = new Programs();
});
afterEach(() => {
  for (const agent of agents.splice(0)) agent.stop();
});
afterAll(() => rmSync(programs.folder, { recursive: true, force: true }));

function serve(behaviour: Behaviour, node: Node = programs.node()): { node: Node; agent: StubAgent } {
  const agent = new StubAgent(node.socket, behaviour);
  agents.push(agent);
  return { node, agent };
}

/** One call to an agent of its own; the connection's end is waited for. */
async function call(behaviour: Behaviour, options?: CallOptions) {
  const { node, agent } = serve(behaviour);
  const done = await node.run(options);
  await agent.connections[0]?.closed;
  return { node, agent, done, after: agent.connections[0]?.after };
}

const result = (code: number, text: string): Behaviour => ({ answer: () => answer("R", code, text) });

function identifyPath(path: string): FileId {
  const fd = openSync(path, "r");
  try {
    return identify(fd);
  } finally {
    closeSync(fd);
  }
}

/** The runtime is told to come again, and the full binary has not run. */
function expectLater({ exitCode, stdout, stderr }: Finished, msg: string): void {
  expect(JSON.parse(stdout)).toEqual({ cniVersion: "1.1.0", code: 11, msg, details: DETAILS });
  expect(stderr).toBe(`minicni: ${msg}; ${DETAILS}\n`);
  expect(exitCode).toBe(1);
}

/** The full binary has run with this stdin. */
function expectStandalone({ exitCode, stdout, stderr }: Finished, node: Node, stdin: string): void {
  expect(stderr).toBe(`standalone:ADD ${node.launcher}`);
  expect(stdout === stdin).toBe(true);
  expect(exitCode).toBe(STANDALONE_CODE);
}

describe("a call that the agent answers", () => {
  test("comes with all that makes it, and its answer arrives", async () => {
    const netns = `/proc/${process.pid}/ns/net`;
    const stdin = `{"name":"a","bytes":"\0${"ü".repeat(1000)}"}`;
    const env = { CNI_COMMAND: "ADD", CNI_NETNS: netns, CNI_ARGS: "", CNI: "x", OTHER_CNI_X: "x" };
    const { agent, done, after } = await call(result(3, '{"ips":[]}'), { env, stdin });
    expect(done).toEqual({ exitCode: 3, stdout: '{"ips":[]}', stderr: "" });
    expect(agent.call).toEqual({
      flags: 1,
      net: identifyPath("/proc/self/ns/net"),
      mnt: identifyPath("/proc/self/ns/mnt"),
      variables: ["CNI_ARGS=", "CNI_COMMAND=ADD", `CNI_NETNS=${netns}`],
      stdin: Buffer.from(stdin),
      hasToken: true,
      descriptor: identifyPath(netns),
    });
    expect(after).toBe("K");
  });

  test("says in which namespaces its caller is", async () => {
    const { node, agent } = serve(result(0, ""));
    await node.run({ argv: ["unshare", "--net", "--mount", node.launcher] });
    expect(agent.call?.net.dev).toBe(identifyPath("/proc/self/ns/net").dev);
    expect(agent.call?.net.ino).not.toBe(identifyPath("/proc/self/ns/net").ino);
    expect(agent.call?.mnt.ino).not.toBe(identifyPath("/proc/self/ns/mnt").ino);
  });

  test("may have nothing on stdin, and nothing for stdout", async () => {
    const { agent, done, after } = await call(result(0, ""), { stdin: "" });
    expect(done).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(agent.call?.stdin.length).toBe(0);
    expect(after).toBe("K");
  });

  test.each([
    ["is not there", "/nonexistent/netns", 2, false],
    ["is empty", "", 0, false],
    ["is a FIFO", "fifo", 1, true],
  ])("has a netns that %s", async (_, path, flags, isSent) => {
    const { node, agent } = serve(result(0, ""));
    if (path === "fifo") Bun.spawnSync({ cmd: ["mkfifo", `${node.folder}/fifo`] });
    const CNI_NETNS = path === "fifo" ? `${node.folder}/fifo` : path;
    expect((await node.run({ env: { CNI_NETNS } })).exitCode).toBe(0);
    expect(agent.call).toMatchObject({ flags, hasToken: true });
    expect(agent.call?.descriptor !== null).toBe(isSent);
  });

  test("may be as long as 1 MiB, its answer as 16 MiB", async () => {
    const stdin = "x".repeat(2 ** 20);
    const body = "y".repeat(2 ** 24);
    const { agent, done, after } = await call(result(0, body), { stdin });
    expect(agent.call?.stdin.toString() === stdin).toBe(true);
    expect(done.stdout === body).toBe(true);
    expect(done.exitCode).toBe(0);
    expect(after).toBe("K");
  });

  test("arrives through a pipe that does not block and is read late", async () => {
    const { node } = serve(result(0, "y".repeat(300_000)));
    const { readEnd, writeEnd } = openPipe();
    const child = node.start({ stdout: writeEnd });
    unblock(writeEnd); // no answer yet: that takes this very thread
    closeSync(writeEnd);
    await Bun.sleep(200);
    const reader = Bun.spawn({ cmd: ["wc", "-c"], stdin: readEnd, stdout: "pipe" });
    closeSync(readEnd);
    expect(await new Response(reader.stdout).text()).toBe("300000\n");
    expect(await child.exited).toBe(0);
  });

  test("is one of fifty at once", async () => {
    const { node, agent } = serve({
      answer: ({ stdin, hasToken }) => answer("R", 0, hasToken ? `for ${stdin}` : "no token"),
    });
    const env = { CNI_NETNS: `/proc/${process.pid}/ns/net` };
    const numbers = Array.from({ length: 50 }, (_, at) => `${at}`);
    const all = await Promise.all(numbers.map((stdin) => node.run({ stdin, env })));
    expect(all.map(({ stdout }) => stdout)).toEqual(numbers.map((number) => `for ${number}`));
    await Promise.all(agent.connections.map(({ closed }) => closed));
    expect(agent.connections.every(({ after }) => after === "K")).toBe(true);
  });
});

describe("the agent is not told that its answer arrived", () => {
  test("where nobody reads it", async () => {
    const { node, agent } = serve(result(0, "{}"));
    const { readEnd, writeEnd } = openPipe();
    closeSync(readEnd);
    const done = await node.run({ stdout: writeEnd });
    closeSync(writeEnd);
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toBe("minicni: the answer could not be written: broken pipe\n");
    await agent.connections[0]?.closed;
    expect(agent.connections[0]?.after).toBe("");
  });

  test("where the launcher is killed before", async () => {
    const { promise, resolve: came } = Promise.withResolvers<void>();
    const { node, agent } = serve({
      answer: () => {
        came();
        return null;
      },
    });
    const child = node.start();
    await promise;
    child.kill("SIGTERM");
    await child.exited;
    expect(child.signalCode).toBe("SIGTERM");
    await agent.connections[0]?.closed;
    expect(agent.connections[0]?.after).toBe("");
  });
});

describe("an answer that the agent did not wait to see arrive", () => {
  test.each([
    ["ADD", 0, 1],
    ["ADD", 9, 9],
    ["DEL", 0, 0],
  ])("%s with exit code %d ends with %d", async (CNI_COMMAND, code, seen) => {
    const body = "y".repeat(100_000);
    const { node } = serve({ answer: () => answer("R", code, body), ends: "answer" });
    const argv = ["sh", "-c", `(${node.launcher}; echo "exit $?" >&2) | (sleep 0.3; cat)`];
    const { stdout, stderr } = await node.run({ argv, env: { CNI_COMMAND } });
    expect(stdout === body).toBe(true);
    expect(stderr).toEndWith(`exit ${seen}\n`);
    expect(stderr.includes("the agent ended before it heard that its answer arrived")).toBe(code !== seen);
  });
});

describe("an agent that declines", () => {
  test.each([0, 1, 70_000, 2 ** 20])("leaves the call and its %d bytes to the full binary", async (size) => {
    const stdin = "z".repeat(size);
    const { node, done, after } = await call({ answer: () => answer("D", 0, "") }, { stdin });
    expectStandalone(done, node, stdin);
    expect(after).toBe("");
  });

  test.each([{}, { ends: "hello" as const }])("may do so before it has read the call: %j", async (ends) => {
    const stdin = "z".repeat(2 ** 20);
    const { node } = serve({ hello: Buffer.concat([hello(), answer("D", 0, "")]), ...ends });
    expectStandalone(await node.run({ stdin }), node, stdin);
  });
});

describe("the runtime is told to come again", () => {
  const ended = "the agent ended in the middle of this call";
  const none = "the agent's answer is none of this version";
  test.each<[string, Uint8Array | null, string]>([
    ["without an answer", null, ended],
    ["within the head of its answer", answer("R", 0, "").subarray(0, 7), ended],
    ["within the body of its answer", answer("R", 0, "{}", 3), ended],
    ["with an answer of another kind", answer("X", 0, "{}"), none],
    ["with something else", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), none],
    ["with more than it announced", answer("R", 0, "{}", 1), none],
    ["with an answer of more than 16 MiB", answer("R", 0, "{}", 2 ** 24 + 1), none],
  ])("when the agent ends %s", async (_, bytes, msg) => {
    const { done } = await call({ answer: () => bytes, ends: "answer" });
    expectLater(done, msg);
  });

  test("when the agent takes too long", async () => {
    const { node, agent } = serve({ answer: () => null }, programs.node(programs.impatient));
    expectLater(await node.run(), "the agent did not answer in 1 s");
    await agent.connections[0]?.closed;
  });

  test("when the agent stops in the middle of its answer", async () => {
    const behaviour = { answer: () => answer("R", 0, "{}", 3) };
    const { node } = serve(behaviour, programs.node(programs.impatient));
    expectLater(await node.run(), "the agent did not answer in 1 s");
  });
});
