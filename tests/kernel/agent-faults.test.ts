import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";
import { run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** A folder of the agent's on a disk of two pages. */
function limit(node: AgentNode, folder: string): string {
  node.box.mountTmpfs(folder, "size=8k");
  return `${folder}/filler`;
}

describe("a full disk", () => {
  test.each(["stateDir", "dataDir", "confDir"] as const)(
    "of %s: told, nothing is lost, and it heals",
    async (which) => {
      const node = new AgentNode();
      const filler = limit(node, node[which]);
      run(["dd", "if=/dev/zero", `of=${filler}`, "bs=4k", "count=8"]);
      node.nodes(N1, N2, N3);
      const agent = node.start();
      await agent.says(/ENOSPC|no space/i);
      await node.until("routes are there", () => node.routes().length === 4, agent);
      const isTold = () => /\[-\]published failed.*(ENOSPC|no space)/.test(agent.page("/readyz"));
      if (which !== "dataDir") await node.until("it is told", isTold, agent);
      await Bun.sleep(1_500);
      expect(agent.log().split("warn published").length).toBeLessThanOrEqual(2);
      rmSync(filler);
      await agent.ready();
      await node.until(
        "all is written",
        () => [node.nodeJson, node.conflist, `${node.dataDir}/nodes.json`].every(existsSync),
        agent,
      );
      expect(await agent.stop()).toBe(0);
    },
  );

  test("without an inode for the lock: the agent runs all the same", async () => {
    const node = new AgentNode();
    node.box.mountTmpfs(node.stateDir, "size=1m,nr_inodes=1");
    node.nodes(N1, N2, N3);
    const agent = node.start();
    await agent.says("no lock");
    await node.until("routes are there", () => node.routes().length === 4, agent);
    node.box.node("mount", "-o", "remount,nr_inodes=100", node.stateDir);
    await agent.ready();
  });
});

test("a read-only folder of configurations is no fault when the right one is in it, and told when not", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  await (await node.up()).stop();
  const text = readFileSync(node.conflist, "utf8");
  node.box.mountTmpfs(node.confDir, "size=64k");
  writeFileSync(node.conflist, text);
  run(["mount", "-o", "remount,ro", node.confDir]);
  const agent = await node.up();
  run(["mount", "-o", "remount,rw", node.confDir]);
  writeFileSync(node.conflist, "{}");
  run(["mount", "-o", "remount,ro", node.confDir]);
  await agent.says(/warn published .*10-minicni\.conflist can't be written/);
  run(["mount", "-o", "remount,rw", node.confDir]);
  await node.until("it is right again", () => readFileSync(node.conflist, "utf8") === text, agent);
  await agent.ready();
});

describe("the NodeList file", () => {
  const broken: Readonly<Record<string, (path: string) => void>> = {
    missing: (path) => rmSync(path),
    torn: (path) => writeFileSync(path, readFileSync(path, "utf8").slice(0, -30)),
    empty: (path) => writeFileSync(path, ""),
    "replaced by a folder": (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    "replaced by a FIFO": (path) => {
      rmSync(path);
      run(["mkfifo", path]);
    },
  };
  test.each(Object.entries(broken))(
    "%s: what was known stays in force, drift is repaired, and it heals",
    async (_what, breakIt) => {
      const node = new AgentNode();
      node.nodes(N1, N2, N3);
      const agent = await node.up();
      breakIt(node.nodesFile);
      await agent.says(/warn nodes fault=.*nodes\.json/);
      await node.until("readiness tells", () => agent.page("/readyz").includes("[-]nodes"), agent);
      node.ip("route", "flush", "proto", "157");
      await node.until("routes are back", () => node.routes().length === 4, agent);
      rmSync(node.nodesFile, { recursive: true, force: true });
      node.nodes(N1, N2);
      await agent.ready();
      await node.until("the next list counts", () => node.routes().length === 2, agent);
    },
  );
});

/** A folder with all programs but these, as the only one in PATH. */
function pathWithout(node: AgentNode, pattern: RegExp): string {
  const folder = `${node.box.dir}/bin`;
  mkdirSync(folder);
  for (const from of ["/usr/sbin", "/sbin"]) {
    for (const name of run(["ls", from]).stdout.split("\n")) {
      if (
        !/^(x?ip6?tables|ip$|bridge$|nft$)/.test(name) ||
        pattern.test(name) ||
        existsSync(`${folder}/${name}`)
      )
        continue;
      symlinkSync(`${from}/${name}`, `${folder}/${name}`);
    }
  }
  return folder;
}

describe("a program that is missing", () => {
  test("no `ip`: not ready, and it says so; it goes on when it is there", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const folder = pathWithout(node, /^ip$/);
    const agent = node.start({ args: ["--executor", "iproute2"], env: { PATH: folder } });
    await agent.says(/can't run `ip`/);
    await node.until("readiness tells", () => /\[-\]routes failed.*`ip`/.test(agent.page("/readyz")), agent);
    expect(existsSync(node.conflist)).toBe(false);
    symlinkSync("/usr/sbin/ip", `${folder}/ip`);
    await agent.ready();
    expect(node.routes()).toHaveLength(4);
  });

  test("no iptables: routes are there, not ready; it goes on when it is there", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const folder = pathWithout(node, /tables/);
    const agent = node.start({ env: { PATH: folder } });
    await agent.says(/warn rules fault/);
    await node.until("readiness tells", () => agent.page("/readyz").includes("[-]rules failed"), agent);
    expect(node.routes()).toHaveLength(4);
    expect(existsSync(node.conflist)).toBe(false);
    rmSync(folder, { recursive: true });
    pathWithout(node, /^$/);
    await agent.ready();
    chmodSync(folder, 0o755);
    expect(existsSync(node.conflist)).toBe(true);
  });
});

test("its port is taken: it does its work, says so, and takes the port when it is free", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const cmd = [
    "nsenter",
    `--net=${node.netns}`,
    process.execPath,
    "-e",
    "Bun.serve({hostname:'127.0.0.1',port:9157,fetch:()=>new Response('other')})",
  ];
  const other = Bun.spawn({ cmd, stdio: ["ignore", "ignore", "ignore"] });
  try {
    const isThere = () =>
      run(["nsenter", `--net=${node.netns}`, "curl", "-s", "http://127.0.0.1:9157/"]).stdout === "other";
    await node.until("the other one listens", isThere);
    const agent = node.start();
    await agent.says(/warn listen fault="can't listen on 127\.0\.0\.1:9157/);
    await node.until(
      "its work is done",
      () => existsSync(node.conflist) && node.routes().length === 4,
      agent,
    );
    other.kill();
    await other.exited;
    await agent.ready();
  } finally {
    other.kill("SIGKILL");
  }
});
