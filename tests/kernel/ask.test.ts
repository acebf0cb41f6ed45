import { afterAll, expect, test } from "bun:test";
import { ask } from "../../src/host/ask-http.ts";

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => {
    const { pathname } = new URL(request.url);
    return pathname === "/late" ? new Promise<Response>(() => undefined) : new Response(`ö ${pathname}`);
  },
});
const other = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: { open: (socket) => void socket.end("220 a mail server\r\n\r\n"), data: () => undefined },
});
afterAll(async () => {
  other.stop(true);
  await server.stop(true);
});

const QUESTION = {
  hostname: "127.0.0.1",
  port: server.port ?? 0,
  path: "/x",
  timeoutMs: 5_000,
  mostBytes: 1_000,
};

test("what a server answers", async () => {
  expect(await ask(QUESTION)).toEqual({ answer: { status: 200, body: "ö /x" }, fault: null });
});

test.each([
  ["nobody listens", { port: 1 }, "connection refused"],
  ["there is no answer in time", { path: "/late", timeoutMs: 100 }, "no answer within 0.1 s"],
  ["the answer is too long", { mostBytes: 20 }, "an answer of more than 20 bytes"],
  ["something else listens", { port: other.port }, "its answer is no HTTP"],
])("where %s, that is said", async (_what, more, fault) => {
  expect(await ask({ ...QUESTION, ...more })).toEqual({ answer: null, fault });
});
