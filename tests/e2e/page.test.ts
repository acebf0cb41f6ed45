import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { AgentNode, destroyNodes, N1, N2, N3, waitFor } from "../kernel/agent.ts";
import { examplePeer, examplePool, exampleReport, HOSTILE } from "../unit/entry/agent/page-stage.ts";
import { CHROMIUM, dumpDom, hostsAsked, takePicture } from "./chromium.ts";
import { openTab } from "./chromium-tab.ts";
import { count, textOf } from "./dom.ts";
import { closePages, serve } from "./page-server.ts";
import { readPng } from "./png.ts";

setDefaultTimeout(120_000);
const dir = mkdtempSync(`${tmpdir()}/mtest-page-`);
const closers: (() => void)[] = [];
afterAll(async () => {
  for (const close of closers) close();
  closePages();
  rmSync(dir, { recursive: true, force: true });
  await destroyNodes();
});

const HAS_BROWSER = existsSync(CHROMIUM);
const WHY = HAS_BROWSER ? "" : ` (not tested: there is no ${CHROMIUM}; make packages-test installs it)`;
const there = test.skipIf(!HAS_BROWSER);

describe("the page of a real agent", () => {
  there(`has its pool, its peers and a repair, and asks nobody else${WHY}`, async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const { box } = node;
    const conf = box.conf({ ipam: undefined, dataDir: box.dataDir, bridge: "minicni0" });
    const { cniVersion, name } = conf;
    writeFileSync(`${node.confDir}/20-pods.conflist`, JSON.stringify({ cniVersion, name, plugins: [conf] }));
    const agent = await node.up("--page", "127.0.0.1:9159");
    const pods = box.pods(2);
    for (const pod of pods) box.add(pod, conf);
    node.ip("route", "del", "10.244.2.0/24");
    await agent.says(/info resync cause=kernel/);
    const netLog = `${dir}/net.json`;
    const dom = await dumpDom("http://127.0.0.1:9159/", { netns: node.netns, netLog });
    expect(textOf(dom, "#node")).toBe("n1");
    expect(textOf(dom, "#verdict")).toContain("ready");
    expect(textOf(dom, "#connection")).toBe("live, asked every 2 s");
    expect(textOf(dom, "#faults")).toContain("nothing");
    expect(textOf(dom, "#pools")).toContain("net1 10.244.1.0/24");
    expect(textOf(dom, "#pools")).toContain("2 of 254 in use");
    expect(textOf(dom, "#pools h3")).toContain("net1 fd44:0:0:1::/64");
    expect(dom).toContain(`10.244.1.2: in use, by container ${pods[0]?.id} eth0`);
    expect(textOf(dom, "#attachments td")).toContain(`${pods[1]?.id}`);
    expect(count(dom, "#peers tbody tr")).toBe(2);
    expect(textOf(dom, "#peers")).toMatch(/n2.*direct.*n3.*tunnel/s);
    expect(textOf(dom, "#peers-count")).toBe("2: 1 direct, 1 by tunnel, 0 not reached");
    expect(textOf(dom, "#routes tbody")).toMatch(/IPv4.*2.*2.*all.*IPv6.*2.*2.*all/s);
    expect(textOf(dom, "#repairs tbody")).toMatch(/route.*kernel.*1.*10\.244\.2\.0\/24/s);
    expect(hostsAsked(netLog, "http://127.0.0.1:9159/")).toEqual(["127.0.0.1:9159"]);
    const asked = box.node("curl", "-s", "-H", "Host: evil.example", "http://127.0.0.1:9159/status.json");
    expect(asked).toStartWith("asked for by a name of another machine");
    const path = `${dir}/real.png`;
    await takePicture("http://127.0.0.1:9159/", path, { netns: node.netns, size: [1280, 900] });
    const { width, height } = readPng(readFileSync(path));
    expect([width, height]).toEqual([1280, 900]);
  });

  there(`would be found out if it asked anybody else${WHY}`, async () => {
    const body = '<img src="http://192.0.2.1/x.png">';
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(body, { headers: { "content-type": "text/html" } }),
    });
    closers.push(() => void server.stop(true));
    const netLog = `${dir}/other.json`;
    await dumpDom(server.url.href, { netLog });
    expect(hostsAsked(netLog, server.url.href)).toContain("192.0.2.1");
  });

  there(`goes on without its port, and is there once that is free${WHY}`, async () => {
    const node = new AgentNode();
    node.nodes(N1, N2);
    const listen =
      'Bun.listen({ hostname: "127.0.0.1", port: 9159, socket: { data() {} } }); console.log("listens");';
    const cmd = ["nsenter", `--net=${node.netns}`, process.execPath, "-e", listen];
    const holder = Bun.spawn({ cmd, stdout: "pipe" });
    closers.push(() => holder.kill());
    await holder.stdout.getReader().read();
    const agent = node.start({ args: ["--page", "127.0.0.1:9159"] });
    await agent.ready();
    await agent.says(/warn page fault=.*another program has this port/);
    holder.kill();
    await holder.exited;
    await agent.says(/info page address=127\.0\.0\.1:9159/);
    expect(agent.log()).not.toContain("stopped");
  });
});

describe("what is shown", () => {
  there(`stays text, whatever a Node is called${WHY}`, async () => {
    const report = exampleReport(2, {
      peers: [examplePeer(2, { name: HOSTILE, fault: HOSTILE, path: "none" })],
      conflicts: [HOSTILE],
    });
    const pool = examplePool();
    const odd = {
      network: HOSTILE,
      containerId: HOSTILE,
      ifname: "eth0",
      addresses: [HOSTILE],
      pod: HOSTILE,
      note: "",
    };
    const dom = await dumpDom(
      serve(
        () => JSON.stringify({ ...report, settings: { ...report.settings, node: HOSTILE } }),
        () => JSON.stringify({ ...pool, faults: [HOSTILE], attachments: [odd] }),
      ),
    );
    expect(textOf(dom, "#connection")).toBe("live, asked every 2 s");
    expect(count(dom, "img")).toBe(0);
    expect(count(dom, "script")).toBe(1);
    for (const place of ["#node", "#peers td", "#routes li", "#pools p", "#attachments td"]) {
      expect(`${place} ${textOf(dom, place)}`).toContain(HOSTILE);
    }
    expect(textOf(dom, "title")).not.toBe("owned");
  });

  there(`of 5,000 peers is at most 500 rows, those with a fault first${WHY}`, async () => {
    const dom = await dumpDom(serve(() => JSON.stringify(exampleReport(5_000))));
    expect(count(dom, "#peers tbody tr")).toBe(500);
    expect(textOf(dom, "#peers p")).toBe("500 of 5000 are shown; the filter finds the others.");
    expect(textOf(dom, "#peers-count")).toMatch(/^5000: /);
    expect(textOf(dom, "#peers tbody")).toMatch(/^worker-7/);
  });

  there(`is the last state once the agent is gone, and says so${WHY}`, async () => {
    let asked = 0;
    const url = serve(() => {
      asked += 1;
      if (asked > 2) throw new Error("gone");
      return JSON.stringify(exampleReport(3));
    });
    const dom = await dumpDom(url, { budgetMs: 12_000 });
    expect(asked).toBeGreaterThan(3);
    expect(textOf(dom, "#connection")).toMatch(
      /^The agent does not answer since .+ \(gone\)\. Below is what it said last\.$/,
    );
    expect(textOf(dom, "#node")).toBe("worker-1");
    expect(count(dom, "#peers tbody tr")).toBe(3);
  });

  there(`can be walked by a screen reader: every table, map and field has a name${WHY}`, async () => {
    const dom = await dumpDom(serve(() => JSON.stringify(exampleReport())));
    expect(count(dom, "table")).toBe(count(dom, 'table[role="table"][aria-label]'));
    expect(count(dom, ".map")).toBe(2);
    expect(count(dom, ".map")).toBe(count(dom, '.map[role="listbox"][tabindex="0"][aria-label]'));
    expect(count(dom, ".map .cell")).toBe(count(dom, '.map .cell[role="option"][aria-label]'));
    expect(count(dom, "input, select")).toBe(count(dom, "label input, label select"));
    expect(count(dom, "section")).toBe(count(dom, "section[aria-labelledby]"));
  });
});

describe("worked with by keyboard alone", () => {
  there(
    `peers are filtered, the map is walked, and both stay as they are when the agent says news${WHY}`,
    async () => {
      let peers = 700;
      const tab = await openTab(serve(() => JSON.stringify(exampleReport(peers))));
      try {
        const rows = () => tab.evaluate("document.querySelectorAll('#peers tbody tr').length");
        await waitFor("the page is drawn", async () => (await rows()) === 500);
        await tab.evaluate("document.getElementById('peers-text').focus()");
        await tab.type("WORKER-69");
        // worker-69 and worker-690 to worker-699.
        expect(await rows()).toBe(11);
        await tab.evaluate("document.querySelector('.map').focus()");
        const chosen = () =>
          tab.evaluate("document.querySelector('.cell.chosen')?.getAttribute('aria-label')");
        const told = () =>
          tab.evaluate(
            "document.getElementById(document.querySelector('.map').getAttribute('aria-activedescendant')).title",
          );
        expect(await chosen()).toBe("10.64.1.0: never given out");
        for (const key of ["ArrowRight", "ArrowRight"]) await tab.press(key);
        expect(await chosen()).toBe("10.64.1.2: in use, by pod default/web-2 (container c2 eth0)");
        expect(await told()).toBe("10.64.1.2: in use, by pod default/web-2 (container c2 eth0)");
        await tab.press("End");
        expect(await chosen()).toBe("10.64.1.255: never given out");
        await tab.press("ArrowDown");
        expect(await chosen()).toBe("10.64.1.255: never given out");
        peers = 65;
        const heard = async () =>
          String(await tab.evaluate("document.getElementById('peers-count').textContent"));
        await waitFor("the news are drawn", async () => (await heard()).startsWith("65:"));
        expect(await rows()).toBe(0);
        expect(await tab.evaluate("document.getElementById('peers-text').value")).toBe("WORKER-69");
        expect(await chosen()).toBe("10.64.1.255: never given out");
      } finally {
        await tab.close();
      }
    },
  );
});

describe("how it looks", () => {
  const LIGHT = "#f6f7f9";
  const DARK = "#11151a";

  test.skipIf(!HAS_BROWSER).each([
    ["light", false, LIGHT],
    ["dark", true, DARK],
  ])(`%s, as the reader's system is set${WHY}`, async (name, isDark, back) => {
    const path = `${dir}/${name}.png`;
    await takePicture(
      serve(() => JSON.stringify(exampleReport())),
      path,
      { isDark, size: [1280, 1000] },
    );
    const picture = readPng(readFileSync(path));
    expect([picture.width, picture.height]).toEqual([1280, 1000]);
    expect(picture.pixel(2, 2)).toBe(back);
    const colours = new Set<string>();
    for (let x = 0; x < 1280; x += 4) for (let y = 0; y < 1000; y += 4) colours.add(picture.pixel(x, y));
    expect(colours.size).toBeGreaterThan(20);
  });

  there(`at 360 pixels nothing goes over the edge, nor with long names${WHY}`, async () => {
    const path = `${dir}/phone.png`;
    const long = "a-very-long-node-name-".repeat(12);
    const report = exampleReport(3, { peers: [examplePeer(2, { name: long, fault: long })] });
    const settings = { ...report.settings, node: long };
    await takePicture(
      serve(() => JSON.stringify({ ...report, settings })),
      path,
      { size: [360, 6000] },
    );
    const picture = readPng(readFileSync(path));
    expect([picture.width, picture.height]).toEqual([360, 6000]);
    const edge = new Set<string>();
    for (let y = 0; y < picture.height; y += 1)
      for (let x = 352; x < 360; x += 1) edge.add(picture.pixel(x, y));
    expect([...edge]).toEqual([LIGHT]);
  });
});
