import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, unlinkSync } from "node:fs";
import { BusyError } from "../../src/host/errors.ts";
import { createHost } from "../../src/host/linux.ts";
import { destroyNodes, N1, N2, waitFor } from "./agent.ts";
import { UninstallNode } from "./uninstall-node.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** A node whose agent has ended, without a pod. */
async function drainedNode(): Promise<UninstallNode> {
  const node = new UninstallNode();
  node.nodes(N1, N2);
  node.install();
  await (await node.up()).stop();
  return node;
}

interface Running {
  readonly exited: Promise<number>;
  /** What it wrote to stderr so far. */
  stderr(): string;
}

function start(argv: readonly string[]): Running {
  const child = Bun.spawn([...argv], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  let text = "";
  const read = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) text += decoder.decode(chunk);
  })();
  return { exited: read.then(() => child.exited), stderr: () => text };
}

test("an ADD that comes meanwhile fails, or uninstall says that something is left: never a pod without a plugin", async () => {
  for (let delayMs = 0; delayMs <= 200; delayMs += 100) {
    const node = await drainedNode();
    const pod = node.box.pod();
    const uninstall = start(node.argvOfUninstall());
    await Bun.sleep(delayMs);
    const added = node.call("ADD", pod).exitCode === 0;
    const removed = (await uninstall.exited) === 0;
    expect({ delayMs, added, removed }).not.toEqual({ delayMs, added: true, removed: true });
    if (removed) {
      expect(node.hasLink("minicni0")).toBe(false);
      expect(node.uninstall("--dry-run")).toMatchObject({ exitCode: 0 });
    }
    await destroyNodes();
  }
});

test("an agent that starts meanwhile ends, or uninstall is refused: never a configuration without a plugin", async () => {
  for (const delayMs of [0, 150, 300, 450]) {
    const node = await drainedNode();
    const uninstall = start(node.argvOfUninstall());
    await Bun.sleep(delayMs);
    const agent = node.start();
    const removed = (await uninstall.exited) === 0;
    // One that comes behind uninstall makes all of it again: whoever deploys it brings the plugin too.
    const left = { hasPlugin: existsSync(`${node.binDir}/minicni`), hasConflist: existsSync(node.conflist) };
    expect({ delayMs, ...left }).toEqual({
      delayMs,
      hasPlugin: !removed,
      hasConflist: left.hasConflist && !removed,
    });
    await agent.stop();
    await destroyNodes();
  }
});

test("a call of the plugin that hangs is waited for, which is said", async () => {
  const node = await drainedNode();
  const lock = `${node.stateDir}/attachments.lock`;
  let end = () => {};
  const call = createHost().withAttachmentLock(lock, "minicni pod1 eth0", () => {
    return new Promise<void>((resolve) => {
      end = resolve;
    });
  });
  const uninstall = start(node.argvOfUninstall());
  await waitFor("it says so", () => uninstall.stderr().includes(`hold ${lock}`), uninstall.stderr);
  expect(node.hasLink("minicni.vxlan")).toBe(true);
  end();
  await call;
  expect(await uninstall.exited).toBe(0);
});

test("who waits for a lock that goes is told, but for a DEL, which has nothing left to do", async () => {
  const node = await drainedNode();
  const lock = `${node.stateDir}/attachments.lock`;
  const host = createHost();
  let waiting: Promise<unknown>[] = [];
  await host.withAttachmentLock(lock, null, async () => {
    waiting = [
      host.withAttachmentLock(lock, "a", () => "begun").catch((error: unknown) => error),
      host.withAttachmentLock(lock, "b", () => "begun", { isOptional: true }),
    ];
    await Bun.sleep(20);
    unlinkSync(lock);
  });
  expect(await Promise.all(waiting)).toEqual([expect.any(BusyError), "begun"]);
});

test("a rule of an administrator's chain that leads to ours goes with it, and nothing else of that chain", async () => {
  const node = await drainedNode();
  for (const program of ["iptables", "ip6tables"]) {
    node.box.node(program, "-A", "THEIRS", "-p", "tcp", "-j", "MINICNI-FORWARD");
    node.box.node(program, "-A", "THEIRS", "-p", "udp", "-j", "ACCEPT");
  }
  const done = node.uninstall();
  expect(done).toMatchObject({ exitCode: 0 });
  expect(done.stdout).toContain("# rules of others that lead to MINICNI-FORWARD\n");
  for (const program of ["iptables-save", "ip6tables-save"]) {
    const rules = node.box.node(program);
    expect(rules).not.toContain("MINICNI");
    expect(rules).toContain("-A THEIRS -p udp -j ACCEPT");
  }
});
