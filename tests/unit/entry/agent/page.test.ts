import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { runAgentCommand } from "../../../../src/entry/agent/index.ts";
import { answerPage, isOwnName } from "../../../../src/entry/agent/page/answer.ts";
import { createDocument } from "../../../../src/entry/agent/page/document.ts";
import { describePool } from "../../../../src/entry/agent/page/pool.ts";
import { parseListen } from "../../../../src/host/serve.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

const dir = mkdtempSync(`${tmpdir()}/page-`);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const { html, headers } = createDocument();
const policy = headers["content-security-policy"] ?? "";
const SCRIPT = /<script>([\s\S]*)<\/script>/.exec(html)?.[1] ?? "";
const STYLE = /<style>([\s\S]*)<\/style>/.exec(html)?.[1] ?? "";

describe("the document", () => {
  test("is one: nothing else is loaded, and nothing is run but what it came with", () => {
    expect(html).not.toMatch(/\b(src|srcset|action|formaction|data|poster)=/);
    expect([...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href)).toEqual([
      "data:,",
      "#main",
      ...["/status.json", "/pool.json", "/status.json", "/pool.json"],
    ]);
    expect(STYLE).not.toMatch(/@import|url\(/);
    expect(html).not.toMatch(/https?:\/\//);
    expect(html).not.toMatch(/\son[a-z]+=|style=/);
  });

  test("is allowed by its policy, and no more is", () => {
    const hash = (text: string) => `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;
    expect(policy.split("; ")).toEqual([
      "default-src 'none'",
      `script-src ${hash(SCRIPT)}`,
      `style-src ${hash(STYLE)}`,
      "connect-src 'self'",
      "img-src data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]);
  });

  test("has a script that is whole: no module is left in it, and it can be read", () => {
    expect(SCRIPT).not.toMatch(/^(import|export)\b/m);
    expect(SCRIPT.length).toBeGreaterThan(10_000);
    expect(() => new Function(SCRIPT)).not.toThrow();
  });

  test("puts in what it is told as text alone", () => {
    expect(SCRIPT).not.toMatch(
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|eval\(|Function\(|setHTML|\.href\s*=/,
    );
  });

  test("has every place that its script fills", () => {
    const ids = new Set([...html.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id));
    const used = [...SCRIPT.matchAll(/(?:getElementById|place|write)\(\s*"([^"]+)"/g)].map(
      ([, id]) => id ?? "",
    );
    expect(used.length).toBeGreaterThan(15);
    expect(used.filter((id) => !ids.has(id))).toEqual([]);
  });
});

/** What is answered at an address, asked for by a Host header. */
function ask(listen: string, path: string, host: string | null = "localhost:9159") {
  const address = parseListen(listen);
  if (address === null || address === "off") throw new Error(`${listen} is no address`);
  return answerPage(address, { status: () => "{}", pool: () => "[]" })(path, host);
}

describe("answers", () => {
  test.each([
    ["/", "text/html; charset=utf-8", html],
    ["/status.json", "application/json", "{}"],
    ["/pool.json", "application/json", "[]"],
  ])("%s", (path, type, body) => {
    expect(ask("127.0.0.1:9159", path)).toMatchObject({ status: 200, type, body });
    expect(ask("127.0.0.1:9159", path)?.headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin",
    });
  });

  test("nothing else", () => {
    for (const path of ["/metrics", "/index.html", "/page.js", "//"])
      expect(ask("127.0.0.1:9159", path)).toBeNull();
  });
});

describe("who may ask on a loopback address", () => {
  const own = [
    "localhost",
    "localhost:9159",
    "LOCALHOST.:1",
    "127.0.0.1",
    "127.0.0.1:65535",
    "127.9.9.9",
    "[::1]:9159",
  ];
  test.each(own)("%s may", (host) => {
    expect(isOwnName(host)).toBe(true);
    expect(ask("127.0.0.1:9159", "/", host)?.status).toBe(200);
    expect(ask("[::1]:9159", "/", host)?.status).toBe(200);
  });

  const foreign = [
    ...["evil.example", "evil.example:9159", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"],
    ...[
      "[fe80::1]",
      "::1",
      "[127.0.0.1]",
      "",
      "localhost:",
      "localhost:9159:1",
      "localhost@evil.example",
      "0.0.0.0",
    ],
  ];
  test.each(foreign)("%j may not: its page would read what is answered (DNS rebinding)", (host) => {
    expect(isOwnName(host)).toBe(false);
    for (const path of ["/", "/status.json", "/pool.json", "/other"]) {
      expect(ask("127.0.0.1:9159", path, host)?.status).toBe(403);
    }
  });

  test("who names nothing may not; elsewhere than on loopback any name will do", () => {
    expect(ask("127.0.0.1:9159", "/", null)?.status).toBe(403);
    expect(ask(":9159", "/", "node1.example:9159")?.status).toBe(200);
    expect(ask("10.0.0.1:9159", "/", "node1")?.status).toBe(200);
  });
});

describe("the agent ends with 2 for", () => {
  test.each([
    [["--page", "here"], "--page here: wanted HOST:PORT"],
    [["--page", "127.0.0.1:9157"], "--page 127.0.0.1:9157: --listen answers there"],
  ])("%p", async (args, told) => {
    const host = createFakeMachine(dir);
    const code = await runAgentCommand(["--node", "n1", ...args], host, () => undefined);
    expect([code, host.logged.join()]).toEqual([2, expect.stringContaining(told)]);
  });
});

describe("the addresses", () => {
  const pod = { namespace: "default", name: "web" };
  const CACHED = [{ network: "net1", containerId: "c1", ifname: "eth0", netns: null, pod }];
  const machine = (reservations: Readonly<Record<string, string>>) => {
    const root = mkdtempSync(`${dir}/n`);
    const host = createFakeMachine(root);
    const conf = {
      ...{ cniVersion: "1.1.0", name: "net1", type: "minicni", stateDir: `${root}/state` },
      ipam: { dataDir: `${root}/data`, ranges: [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd00:7::/64" }]] },
    };
    mkdirSync(`${root}/net.d`);
    mkdirSync(`${root}/data/net1`, { recursive: true });
    mkdirSync(`${root}/state/attachments/net1`, { recursive: true });
    writeFileSync(`${root}/net.d/10.conf`, JSON.stringify(conf));
    for (const [name, text] of Object.entries(reservations)) writeFileSync(`${root}/data/net1/${name}`, text);
    return { host, settings: { stateDir: `${root}/state`, confDir: `${root}/net.d` } };
  };

  test("are each range's, with who holds what", () => {
    const { host, settings } = machine({ "10.7.0.2": "c1\r\neth0", "fd00:7::2": "c1\r\neth0", lock: "" });
    const { faults, ranges } = describePool(settings, CACHED, host);
    expect(faults).toEqual([]);
    const own = ranges.filter(({ network }) => network === "net1");
    expect(own.map(({ subnet, held, leaked }) => [subnet, held, leaked])).toEqual([
      ["10.7.0.0/24", 1, 0],
      ["fd00:7::/64", 1, 0],
    ]);
    const cells = own[0]?.cells ?? [];
    expect(cells).toHaveLength(256);
    expect(cells[2]).toMatchObject({
      first: "10.7.0.2",
      mark: "held",
      holders: ["pod default/web (container c1 eth0)"],
    });
    expect([cells[0]?.mark, cells[1]?.mark, cells[3]?.mark]).toEqual(["outside", "gateway", "free"]);
  });

  test("that nobody is named for are marked; what can't be read is told, and the rest shown", () => {
    const { host, settings } = machine({ "10.7.0.9": "" });
    writeFileSync(`${settings.confDir}/20.conf`, "{");
    const { faults, ranges } = describePool(settings, CACHED, host);
    expect(faults.join()).toContain(`${settings.confDir}/20.conf can't be read`);
    expect(ranges[0]?.cells[9]).toMatchObject({ mark: "leaked", holders: ["nobody"] });
  });
});
