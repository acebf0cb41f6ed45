import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3, waitFor } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** The files an agent leaves for others, with what would show that they were written again. */
function files(node: AgentNode) {
  return [node.nodeJson, node.conflist, `${node.dataDir}/nodes.json`].map((path) => ({
    path,
    text: readFileSync(path, "utf8"),
    inode: statSync(path).ino,
    mtimeMs: statSync(path).mtimeMs,
  }));
}

/** Command lines of all processes in the node's namespace, but for the agent's. */
function processes(node: AgentNode): string[] {
  const own = statSync(node.netns).ino;
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid) || !readlinkSync(`/proc/${pid}/ns/net`).includes(`[${own}]`)) return [];
      return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()];
    } catch {
      return [];
    }
  });
}

async function settled(backend: string) {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const agent = await node.up("--backend", backend);
  await node.until(
    "the Nodes are kept",
    () => node.box.leftovers() !== null && files(node).length === 3,
    agent,
  );
  return { node, agent, kernel: node.kernel(), files: files(node) };
}

describe.each(["auto", "host-gw", "vxlan"])("with backend %s", (backend) => {
  test("SIGTERM ends it with 0 and leaves kernel and files; the next start changes nothing", async () => {
    const { node, agent, ...before } = await settled(backend);
    expect(await agent.stop()).toBe(0);
    expect(agent.log()).toContain("info stopped");
    expect({ kernel: node.kernel(), files: files(node) }).toEqual(before);
    expect(processes(node)).toEqual([]);
    const next = await node.up("--backend", backend);
    // More than one whole pass.
    await Bun.sleep(2_200);
    expect(next.log()).not.toMatch(/info (resync|rules|published|bridge)/);
    expect({ kernel: node.kernel(), files: files(node) }).toEqual(before);
  });
});

test("SIGKILL leaves kernel and files too; its monitor ends with the next change in the kernel", async () => {
  const { node, agent, ...before } = await settled("auto");
  expect(await agent.stop("SIGKILL")).toBeNull();
  expect({ kernel: node.kernel(), files: files(node) }).toEqual(before);
  node.ip("link", "add", "br9", "type", "bridge");
  node.ip("link", "del", "br9");
  await waitFor("no process of the killed agent is left", () => processes(node).length === 0);
  const next = await node.up();
  expect(next.log()).not.toMatch(/info (resync|rules)/);
  expect({ kernel: node.kernel(), files: files(node) }).toEqual(before);
});

test("a SIGTERM before the first pass ends it as well", async () => {
  const node = new AgentNode();
  const agent = node.start();
  await agent.says("info started");
  expect(await agent.stop()).toBe(0);
  expect(node.routes()).toEqual([]);
});

test("a second agent on one node refuses and says why; the first one goes on", async () => {
  const { node, agent } = await settled("auto");
  const second = node.start({ args: ["--listen", ""] });
  await second.says("another minicni agent runs on this node");
  expect(second.log()).toContain("agent.lock");
  await waitFor(
    "the second agent ends",
    () => processes(node).filter((it) => it.includes(" agent ")).length === 1,
  );
  expect(await second.stop()).toBe(1);
  expect(agent.isReady()).toBe(true);
  expect(node.once().exitCode).toBe(1);
});

test("--once makes it as it should be and ends; a dry run then finds nothing", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const planned = node.once("--dry-run");
  expect(planned.exitCode).toBe(3);
  expect(planned.stdout).toContain("ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157");
  expect(planned.stdout).toContain("ip link add name minicni.vxlan ");
  expect(node.routes()).toEqual([]);
  expect(node.hasLink("minicni.vxlan")).toBe(false);
  expect(node.published()).toEqual({});
  expect(node.once().exitCode).toBe(0);
  expect(node.routes()).toHaveLength(4);
  expect(node.once("--dry-run")).toMatchObject({ exitCode: 0, stdout: "# nothing to change\n" });
});
