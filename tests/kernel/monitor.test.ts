import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { KernelHint } from "../../src/host/machine.ts";
import { watchKernel } from "../../src/host/monitor.ts";
import { inNetns } from "../../src/host/netns.ts";
import { isHostVethName } from "../../src/net/ifname.ts";
import { nodeWith } from "./netlink.ts";
import { destroySandboxes, must, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

/** Waits until something is so; fails after 10 s. */
async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (isSo()) return;
    await Bun.sleep(10);
  }
  throw new Error(`never happened: ${what}`);
}

/** The children of this process whose command line has all these words. */
function children(...words: string[]): number[] {
  const lines = run(["ps", "--ppid", String(process.pid), "-o", "pid=,args="]).stdout.split("\n");
  return lines
    .filter((line) => words.every((word) => line.includes(word)))
    .map((line) => Number.parseInt(line, 10));
}

interface Watched {
  readonly hints: KernelHint[];
  readonly ends: string[];
  close(): void;
}

/** Watches a node, once the first change has come through. */
async function watch(box: Sandbox): Promise<Watched> {
  const hints: KernelHint[] = [];
  const ends: string[] = [];
  const watcher = inNetns(box.netns, () =>
    watchKernel(
      (hint) => hints.push(hint),
      (why) => ends.push(why),
    ),
  );
  await until("the first hint", () => {
    box.node("ip", "link", "set", "lo", "mtu", String(60_000 + Math.floor(Math.random() * 5000)));
    return hints.length > 0;
  });
  // What is still on its way is of before.
  await Bun.sleep(100);
  hints.length = 0;
  return { hints, ends, close: watcher.close };
}

describe("watching the kernel", () => {
  const CHANGES: readonly (readonly [string, Omit<KernelHint, "text">])[] = [
    ["link add name br0 type bridge", { kind: "link", isDelete: false, dev: "br0" }],
    ["link set br0 mtu 1400", { kind: "link", isDelete: false, dev: "br0" }],
    ["addr add 10.5.0.1/24 dev v0", { kind: "address", isDelete: false, dev: "v0" }],
    ["addr del 10.5.0.1/24 dev v0", { kind: "address", isDelete: true, dev: "v0" }],
    ["addr add fd05::1/64 dev v0 nodad", { kind: "address", isDelete: false, dev: "v0" }],
    ["route add 10.6.0.0/16 via 10.0.0.9 dev v0 proto 157", { kind: "route", isDelete: false, dev: "v0" }],
    ["route del 10.6.0.0/16 via 10.0.0.9 dev v0", { kind: "route", isDelete: true, dev: "v0" }],
    ["route add fd06::/64 via fd00::9 dev v0", { kind: "route", isDelete: false, dev: "v0" }],
    ["route del fd06::/64 via fd00::9 dev v0", { kind: "route", isDelete: true, dev: "v0" }],
    ["route add blackhole 10.7.0.0/16", { kind: "route", isDelete: false, dev: null }],
    ["rule add from 10.0.0.0/8 table 100 prio 99", { kind: "rule", isDelete: false, dev: null }],
    ["rule del prio 99", { kind: "rule", isDelete: true, dev: null }],
    ["link set v0 down", { kind: "link", isDelete: false, dev: "v0" }],
    ["link del br0", { kind: "link", isDelete: true, dev: "br0" }],
  ];

  test("tells each kind of change, with its link", async () => {
    const box = nodeWith([]);
    const { hints, ends, close } = await watch(box);
    try {
      for (const [change, wanted] of CHANGES) {
        hints.length = 0;
        box.node("ip", ...change.split(" "));
        await until(change, () => hints.some(({ text: _, ...hint }) => Bun.deepEquals(hint, wanted)));
      }
      expect(ends).toEqual([]);
    } finally {
      close();
    }
  });

  test("names the host-side veth in all that a pod's coming and going causes, but for the bridge", async () => {
    const box = new Sandbox();
    const [first, second] = [box.pod(), box.pod()];
    box.add(first);
    const { hints, close } = await watch(box);
    try {
      box.add(second);
      await until("the pod's veth", () => hints.some(({ dev }) => isHostVethName(dev ?? "")));
      box.call("DEL", second);
      await until("its end", () => hints.some(({ dev, isDelete }) => isDelete && isHostVethName(dev ?? "")));
      await Bun.sleep(200);
      const others = hints.filter(({ dev }) => !isHostVethName(dev ?? ""));
      expect(others.filter(({ kind, dev }) => kind !== "link" || dev !== "br0")).toEqual([]);
    } finally {
      close();
    }
  });

  test("leaves no child and tells nothing more once closed", async () => {
    const { hints, ends, close } = await watch(nodeWith([]));
    expect(children("ip", "monitor")).toHaveLength(1);
    close();
    await until("the child's end", () => children("monitor").length === 0);
    await until("no zombie", () => children("defunct").length === 0);
    expect([hints, ends]).toEqual([[], []]);
  });

  test("tells once that the child ended", async () => {
    const { ends } = await watch(nodeWith([]));
    for (const pid of children("ip", "monitor")) process.kill(pid, "SIGKILL");
    await until("the end", () => ends.length > 0);
    await until("no zombie", () => children("ip").length === 0);
    // What it said before is told too: it is confused by namespaces that others remove meanwhile.
    expect(ends).toEqual([
      expect.stringMatching(/^`ip monitor` ended \(SIGKILL\)(; Error: Peer netns reference is invalid\.)?$/),
    ]);
  });

  test("ends when changes were lost, since the kernel had no room for them", async () => {
    const box = nodeWith([]);
    const { ends } = await watch(box);
    const [pid = 0] = children("ip", "monitor");
    process.kill(pid, "SIGSTOP");
    const changes = Array.from({ length: 4000 }, (_, at) => `route replace 10.6.0.0/16 dev v0 metric ${at}`);
    run(["nsenter", `--net=${box.netns}`, "ip", "-batch", "-"], { stdin: `${changes.join("\n")}\n` });
    process.kill(pid, "SIGCONT");
    await until("the end", () => ends.length > 0);
    expect(ends).toEqual([expect.stringMatching(/^changes were lost: .*No buffer space/)]);
    await until("the child's end", () => children("monitor").length === 0);
  });

  test("that can't begin tells so", async () => {
    const path = process.env.PATH;
    const ends: string[] = [];
    try {
      process.env.PATH = "/nowhere";
      watchKernel(
        () => undefined,
        (why) => ends.push(why),
      );
      watchKernel(
        () => undefined,
        (why) => ends.push(why),
      ).close();
    } finally {
      process.env.PATH = path;
    }
    await Bun.sleep(1);
    expect(ends).toEqual([expect.stringMatching(/^can't run `ip`: .*PATH=\/nowhere/)]);
  });

  test("does not outlive a killed watcher by more than one change", async () => {
    const box = nodeWith([]);
    const script = `import { watchKernel } from ${JSON.stringify(`${import.meta.dir}/../../src/host/monitor.ts`)};
      watchKernel(() => console.log("hint"), () => undefined);
      setInterval(() => undefined, 1000);`;
    const cmd = ["nsenter", `--net=${box.netns}`, process.execPath, "-e", script];
    const agent = Bun.spawn({ cmd, stdout: "pipe", stderr: "inherit" });
    const reader = agent.stdout.getReader();
    let isWatching = false;
    void reader.read().then(() => {
      isWatching = true;
    });
    const change = (mtu: number) => must("ip", "-n", box.name, "link", "set", "lo", "mtu", String(mtu));
    let mtu = 60_000;
    await until("the agent's first hint", () => {
      change(++mtu);
      return isWatching;
    });
    const monitor = must("pgrep", "-P", String(agent.pid), "-x", "ip").trim();
    agent.kill("SIGKILL");
    await agent.exited;
    change(++mtu);
    // An orphan may stay as a zombie where process 1 does not wait for it.
    await until("the orphan's end", () => {
      const state = run(["ps", "-o", "stat=", "-p", monitor]).stdout.trim();
      return state === "" || state.startsWith("Z");
    });
  });
});
