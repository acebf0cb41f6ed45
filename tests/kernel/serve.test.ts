import { afterAll, describe, expect, test } from "bun:test";
import { HostError } from "../../src/host/errors.ts";
import { formatListen, type ListenAddress, parseListen, serveHttp } from "../../src/host/serve.ts";

const opened: { close(): void }[] = [];
afterAll(() => {
  for (const server of opened) server.close();
});

function listenAddress(text: string): ListenAddress {
  const parsed = parseListen(text);
  if (parsed === null || parsed === "off") throw new Error(text);
  return parsed;
}

function open(text: string, answer: Parameters<typeof serveHttp>[1] = hello): ReturnType<typeof serveHttp> {
  const server = serveHttp(listenAddress(text), answer);
  opened.push(server);
  return server;
}

function hello(path: string) {
  return path === "/hello" ? { status: 200, type: "text/x", body: "hällo\n" } : null;
}

describe("a listen address", () => {
  test.each(["127.0.0.1:9157", "[::1]:9157", "0.0.0.0:0", ":9157", "[fd00::1]:65535"])(
    "%s is one",
    (text) => {
      expect(formatListen(listenAddress(text))).toBe(text);
    },
  );

  test("is off when empty", () => {
    expect(parseListen("")).toBe("off");
  });

  test.each([
    "9157",
    "localhost:9157",
    "::1:9157",
    "[::1]",
    "[127.0.0.1]:9157",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:9157 ",
    "010.0.0.1:9157",
    "[fe80::1%eth0]:9157",
    "[]:9157",
  ])("is not %j", (text) => {
    expect(parseListen(text)).toBeNull();
  });
});

describe("the server", () => {
  test("answers GET and HEAD of the paths it knows", async () => {
    const { port } = open("127.0.0.1:0");
    const got = await fetch(`http://127.0.0.1:${port}/hello?verbose`);
    expect([got.status, got.headers.get("content-type"), await got.text()]).toEqual([
      200,
      "text/x",
      "hällo\n",
    ]);
    const head = await fetch(`http://127.0.0.1:${port}/hello`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "7", ""]);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  });

  test("answers on IPv6", async () => {
    const { port } = open("[::1]:0");
    expect((await fetch(`http://[::1]:${port}/hello`)).status).toBe(200);
  });

  test("refuses other methods, and large bodies", async () => {
    const { port } = open("127.0.0.1:0");
    const post = await fetch(`http://127.0.0.1:${port}/hello`, { method: "POST", body: "x" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    const large = await fetch(`http://127.0.0.1:${port}/hello`, {
      method: "POST",
      body: "x".repeat(100_000),
    });
    expect(large.status).toBe(413);
  });

  test("says 500 when an answer throws, and goes on", async () => {
    const { port } = open("127.0.0.1:0", (path) => {
      if (path === "/bad") throw new Error("no such luck");
      return hello(path);
    });
    const bad = await fetch(`http://127.0.0.1:${port}/bad`);
    expect([bad.status, await bad.text()]).toEqual([500, "no such luck\n"]);
    expect((await fetch(`http://127.0.0.1:${port}/hello`)).status).toBe(200);
  });

  test("says 503 when an answer does not come", async () => {
    const { port } = open("127.0.0.1:0", () => new Promise(() => undefined));
    expect((await fetch(`http://127.0.0.1:${port}/slow`)).status).toBe(503);
  }, 20_000);

  test("names a port that is taken, and what to do", () => {
    const { port } = open("127.0.0.1:0");
    const text = `127.0.0.1:${port}`;
    try {
      open(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(HostError);
      expect(error).toMatchObject({
        message: expect.stringContaining(`can't listen on ${text}`),
        hint: expect.stringContaining("ss -ltnp"),
      });
    }
  });

  test("names an address this machine does not have", () => {
    expect(() => open("203.0.113.5:0")).toThrow("can't listen on 203.0.113.5:0");
  });

  test("closed, lets go of its port and of the connections it has", async () => {
    const { port, close } = open("127.0.0.1:0", () => new Promise(() => undefined));
    const waiting = fetch(`http://127.0.0.1:${port}/`).then(
      () => "answered",
      () => "cut",
    );
    await Bun.sleep(50);
    close();
    expect(await waiting).toBe("cut");
    expect(open(`127.0.0.1:${port}`).port).toBe(port);
  });
});
