import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { eachOf } from "./faults.ts";
import { NOTHING, type Pod } from "./sandbox.ts";
import { connectTo, destroyNodes, ServedNode, ToldPrograms, until } from "./served-node.ts";
import { resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const programs = new ToldPrograms();
afterEach(() => programs.taken());

const HELLO = Buffer.from("MCNI\u0001\0\0\0");
const ELSEWHERE = Buffer.from("MCNI\u0001\0\u0001\0");
const DECLINED = Buffer.concat([HELLO, Buffer.from("MCNID\0\0\0\0\0\0\0")]);

/** An ADD and a DEL that have to end well; returns which of them the binary did. */
async function come(node: ServedNode, pod: Pod): Promise<string[]> {
  programs.taken();
  resultOf(await node.call("ADD", pod));
  expect(await node.call("DEL", pod)).toMatchObject({ exitCode: 0, stdout: "" });
  return programs.taken();
}

const BY_BINARY = ["ADD pod1", "DEL pod1"];

describe("sockets of agents that are gone", () => {
  test("removed, left behind, or never there: the binary does it; a new agent serves again", async () => {
    const node = new ServedNode(programs);
    const pod = node.box.pod();
    expect(await come(node, pod)).toEqual(BY_BINARY);
    const first = node.serve();
    expect(await come(node, pod)).toEqual([]);
    await first.stop("SIGKILL");
    expect(node.hasSockets()).toBe(true);
    expect(await come(node, pod)).toEqual(BY_BINARY);
    const second = node.serve();
    expect(await come(node, pod)).toEqual([]);
    rmSync(`${node.socket}.fd`);
    expect(await come(node, pod)).toEqual(BY_BINARY);
    rmSync(node.socket);
    expect(await come(node, pod)).toEqual(BY_BINARY);
    await second.stop("SIGTERM");
    node.serve();
    expect(await come(node, pod)).toEqual([]);
    expect(node.box.leftovers()).toEqual(NOTHING);
  });

  test("a second agent takes the place of the first, whose end leaves its sockets", async () => {
    const node = new ServedNode(programs);
    const pod = node.box.pod();
    const first = node.serve();
    const second = node.serve();
    expect(await come(node, pod)).toEqual([]);
    expect(await first.stop("SIGTERM")).toBe(0);
    expect(await come(node, pod)).toEqual([]);
    expect(await second.stop("SIGTERM")).toBe(0);
    expect(node.hasSockets()).toBe(false);
    expect(await come(node, pod)).toEqual(BY_BINARY);
  });
});

/** A head with these lengths, of a version. */
function head(environment: number, stdin: number, version = 1): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write("MCNI");
  bytes.writeUInt16LE(version, 4);
  randomBytes(16).copy(bytes, 8);
  bytes.writeUInt32LE(environment, 56);
  bytes.writeUInt32LE(stdin, 60);
  return bytes;
}

describe("who does not speak as a launcher", () => {
  const declined: readonly (readonly [string, Buffer])[] = [
    ["random bytes", randomBytes(4096)],
    ["another protocol", Buffer.from(`GET / HTTP/1.1\r\nHost: ${"x".repeat(64)}\r\n\r\n`)],
    ["a head with lengths of 4 GB", head(0xffffffff, 0xffffffff)],
    ["a head with too long an environment", head(64 * 1024 + 1, 0)],
    ["a head with too long a stdin", head(0, 1024 * 1024 + 1)],
    ["a head of another version", head(0, 0, 2)],
    ["more than its head says", Buffer.concat([head(0, 2), Buffer.from("{}{}")])],
    ["a whole request without its datagram", Buffer.concat([head(0, 2), Buffer.from("{}")])],
  ];
  test.each(declined)("%s: is declined, others are served", async (_, bytes) => {
    const node = new ServedNode(programs);
    node.serve();
    const { socket, received } = await connectTo(node.socket);
    socket.write(bytes);
    await until("it is declined", () => received().length >= DECLINED.length);
    expect(received()).toEqual(DECLINED);
    expect(await come(node, node.box.pod())).toEqual([]);
    socket.destroy();
  });

  const silent: readonly (readonly [string, Buffer])[] = [
    ["nothing", Buffer.alloc(0)],
    ["half a head", head(0, 0).subarray(0, 30)],
    ["a head that promises 1 MiB", head(0, 1024 * 1024)],
    ["all but a byte of what it promises", Buffer.concat([head(0, 1000), Buffer.alloc(999)])],
  ];
  test.each(silent)(
    "%s: is waited for while others are served, and is no reason to stay",
    async (_, bytes) => {
      const node = new ServedNode(programs);
      const agent = node.serve();
      const { socket, received, closed } = await connectTo(node.socket);
      if (bytes.length > 0) socket.write(bytes);
      expect(await come(node, node.box.pod())).toEqual([]);
      expect(received()).toEqual(HELLO);
      const began = performance.now();
      expect(await agent.stop("SIGTERM")).toBe(0);
      expect(performance.now() - began).toBeLessThan(4_000);
      await closed;
      expect(received()).toEqual(DECLINED);
      socket.destroy();
    },
  );

  test.skipIf(Bun.which("python3") === null)(
    "datagrams that nobody sent, 50 of them: others are served",
    async () => {
      const node = new ServedNode(programs);
      node.serve();
      const script = `import socket, os, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.settimeout(1)
for n in range(50):
  try:
    socket.send_fds(s, [os.urandom(n)], [0, 1, 2][: n % 4], 0, sys.argv[1])
  except OSError: pass`;
      const sender = Bun.spawn(["python3", "-c", script, `${node.socket}.fd`]);
      const pods = node.box.pods(8);
      await eachOf(pods, 4, async (pod) => {
        resultOf(await node.call("ADD", pod));
        expect((await node.call("DEL", pod)).exitCode).toBe(0);
      });
      sender.kill();
      expect(node.box.leftovers()).toEqual(NOTHING);
    },
  );
});

describe("connections that say nothing", () => {
  test.each([
    [1_000, []],
    [1_100, BY_BINARY],
  ])("%d at once: calls succeed, memory stays bounded, all is closed behind them", async (count, taken) => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const pod = node.box.pod();
    expect(await come(node, pod)).toEqual([]);
    const before = agent.descriptors();
    const open: Awaited<ReturnType<typeof connectTo>>[] = [];
    let resets = 0;
    // Who is turned away may find the connection closed again before having looked at it.
    const comeOrReset = async () => {
      try {
        open.push(await connectTo(node.socket));
      } catch (error) {
        expect(error).toMatchObject({ code: "ECONNRESET" });
        resets++;
      }
    };
    // No more than its queue holds at a time.
    for (let at = 0; at < count; at += 100) {
      await Promise.all(Array.from({ length: 100 }, comeOrReset));
      await until("all are greeted", () => open.every(({ received }) => received().length === HELLO.length));
    }
    const greeted = open.filter(({ received }) => received().equals(HELLO));
    expect(greeted.length).toBe(Math.min(count, 1_024));
    const sentAway = open.filter(({ received }) => received().equals(ELSEWHERE)).length + resets;
    expect(sentAway).toBe(count - greeted.length);
    expect(await come(node, pod)).toEqual([...taken]);
    expect(agent.peakMegabytes()).toBeLessThan(200);
    for (const { socket } of open) socket.destroy();
    await until("all is closed", () => agent.descriptors() <= before + 4);
    expect(await come(node, pod)).toEqual([]);
    expect(node.box.leftovers()).toEqual(NOTHING);
  });

  test("80 heads that promise 1 MiB, and send half of it: memory stays bounded", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const half = Buffer.concat([head(0, 1024 * 1024), Buffer.alloc(512 * 1024)]);
    const open = await Promise.all(Array.from({ length: 80 }, () => connectTo(node.socket)));
    for (const { socket } of open) socket.write(half);
    await until("some are declined", () => open.some(({ received }) => received().equals(DECLINED)));
    resultOf(await node.call("ADD", node.box.pod()));
    expect(agent.peakMegabytes()).toBeLessThan(300);
    for (const { socket } of open) socket.destroy();
    await agent.settled();
    programs.taken();
    expect((await node.call("DEL", { id: "pod1", netns: "" })).exitCode).toBe(0);
    expect(programs.taken()).toEqual([]);
    expect(node.box.leftovers()).toEqual(NOTHING);
  });

  test("300 calls leave no descriptor open, nor memory in use", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const pods = node.box.pods(10);
    for (const pod of pods) expect(await come(node, pod)).toEqual([]);
    const [before, peak] = [agent.descriptors(), agent.peakMegabytes()];
    await eachOf(pods, 4, async (pod) => {
      for (let n = 0; n < 15; n++) {
        resultOf(await node.call("ADD", pod));
        expect((await node.call("DEL", pod)).exitCode).toBe(0);
      }
    });
    await agent.settled();
    await until("all is closed", () => agent.descriptors() <= before + 4);
    expect(agent.peakMegabytes()).toBeLessThan(peak + 100);
    expect(programs.taken()).toEqual([]);
    expect(node.box.leftovers()).toEqual(NOTHING);
  });
});
