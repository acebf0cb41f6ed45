import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

test("the conflist comes last and whole: behind routes, rules and node.json", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const seen: { routes: number; rules: boolean; ready: unknown; text: string }[] = [];
  const watcher = watch(node.confDir, () => {
    if (seen.length > 0 || !existsSync(node.conflist)) return;
    const text = readFileSync(node.conflist, "utf8");
    const rules = ["iptables-save", "ip6tables-save"].every((tool) =>
      /-j MASQUERADE/.test(node.box.node(tool)),
    );
    seen.push({ routes: node.routes().length, rules, ready: node.published().ready, text });
  });
  try {
    const agent = await node.up();
    await node.until("it was seen", () => seen.length === 1, agent);
  } finally {
    watcher.close();
  }
  expect(seen).toEqual([{ routes: 4, rules: true, ready: true, text: readFileSync(node.conflist, "utf8") }]);
  expect(JSON.parse(seen[0]?.text ?? "")).toMatchObject({ name: "minicni", plugins: [{ type: "minicni" }] });
  expect(readdirSync(node.confDir)).toEqual(["10-minicni.conflist"]);
});

describe("the conflist", () => {
  const changes: Readonly<Record<string, (path: string) => void>> = {
    removed: (path) => rmSync(path),
    changed: (path) => writeFileSync(path, "{}"),
    emptied: (path) => writeFileSync(path, ""),
  };
  test.each(Object.entries(changes))("%s by hand is back within a period", async (_what, change) => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = await node.up();
    const text = readFileSync(node.conflist, "utf8");
    change(node.conflist);
    const isBack = () => existsSync(node.conflist) && readFileSync(node.conflist, "utf8") === text;
    await node.until("it is back", isBack, agent);
  });

  test("node.json damaged or removed by hand is back within a period", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = await node.up();
    const published = readFileSync(node.nodeJson, "utf8");
    for (const text of ["{", '{"ready":true}']) {
      writeFileSync(node.nodeJson, text);
      await node.until("it is back", () => readFileSync(node.nodeJson, "utf8") === published, agent);
    }
    rmSync(node.nodeJson);
    await node.until("it is back", () => existsSync(node.nodeJson), agent);
    expect(readFileSync(node.nodeJson, "utf8")).toBe(published);
  });

  test("one of others that a runtime takes first is named and left alone", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    writeFileSync(`${node.confDir}/05-other.conflist`, "{}");
    writeFileSync(`${node.confDir}/99-later.conf`, "{}");
    const agent = await node.up();
    await agent.says(/warn "foreign configuration" fault=".*: 05-other\.conflist"/);
    rmSync(`${node.confDir}/05-other.conflist`);
    await agent.says(/info "foreign configuration" cleared=true/);
    expect(readdirSync(node.confDir).sort()).toEqual(["10-minicni.conflist", "99-later.conf"]);
  });

  test("is not written where none is wished", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    await node.up("--conf-dir", "");
    expect(readdirSync(node.confDir)).toEqual([]);
  });
});

test("node.json of another boot is not taken for our word: it is written anew before the conflist stands", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  await (await node.up()).stop();
  const stale = { ...node.published(), bootId: "00000000-0000-4000-8000-000000000000" };
  writeFileSync(node.nodeJson, JSON.stringify(stale));
  rmSync(node.nodesFile);
  rmSync(`${node.dataDir}/nodes.json`);
  const agent = node.start();
  await node.until("it says why not", () => node.published().ready === false, agent);
  expect(node.published().reason).toContain("nodes.json");
  expect(node.published().bootId).not.toBe(stale.bootId);
  node.nodes(N1, N2, N3);
  await agent.ready();
  expect(node.published()).toMatchObject({ ready: true });
});

describe("with few capabilities", () => {
  const bounded = (...kept: string[]) => ["setpriv", "--bounding-set", ["-all", ...kept].join(",")];

  test("NET_ADMIN and NET_RAW do for links, routes, rules, sysctls, hints and files", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = node.start({ before: bounded("+net_admin", "+net_raw") });
    await agent.ready();
    expect(node.routes()).toHaveLength(4);
    expect(node.box.node("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")).toBe(
      "1\n1\n",
    );
    const before = node.kernel();
    expect(before).toContain("-j MASQUERADE --random-fully");
    node.ip("route", "flush", "proto", "157");
    // A device that goes while the first repair runs is a failed step of it, and rightly told.
    await node.until("routes are back", () => node.routes().length === 4, agent);
    node.ip("link", "del", "minicni.vxlan6");
    await node.until("repaired", () => node.routes().length === 4 && node.hasLink("minicni.vxlan6"), agent);
    expect(agent.log()).not.toContain(" warn ");
  });

  test("without NET_ADMIN nothing can be done, and it says what", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = node.start({ before: bounded() });
    await agent.says(/steps failed.*ip_forward can't be written \(EPERM\)/);
    expect(agent.isReady()).toBe(false);
    expect(node.routes()).toEqual([]);
    expect(await agent.stop()).toBe(0);
  });
});
