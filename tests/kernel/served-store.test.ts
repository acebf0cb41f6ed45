import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { eachOf, NO_TRACES, rules, traces } from "./faults.ts";
import { upTo } from "./faults-node.ts";
import { type Json, must, NOTHING, type Pod, read, run } from "./sandbox.ts";
import { destroyNodes, ServedNode, ToldPrograms, until } from "./served-node.ts";
import { addressesOf, errorOf, type Finished, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const programs = new ToldPrograms();
afterEach(() => programs.taken());

describe("the agent and the binary on one network", () => {
  test("40 pods come and go by both ways at once: no address twice, the store is as the kernel", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const { box } = node;
    // Room for 29.
    const conf = box.conf({ ipMasq: true }, { ranges: [[{ subnet: "10.7.0.0/27" }]], routes: [] });
    const pods = box.pods(40);
    const live = new Map<Pod, string>();
    const call = (command: string, pod: Pod, isServed: boolean) =>
      isServed ? node.call(command, pod, conf) : box.start(command, pod, conf).done;
    await eachOf([...pods.entries()], 10, async ([index, pod]) => {
      for (let turn = 0; turn < 3; turn++) {
        const isServed = (index + turn) % 2 === 0;
        const added = await call("ADD", pod, isServed);
        if (added.exitCode !== 0) expect(errorOf(added).code).toBe(11);
        else {
          const [address = ""] = addressesOf(resultOf(added));
          expect([...live.values()]).not.toContain(address);
          live.set(pod, address);
        }
        if (turn === 2 && index % 2 === 0) continue;
        // Before it is free for others.
        live.delete(pod);
        expect(await call("DEL", pod, !isServed)).toMatchObject({ exitCode: 0, stdout: "" });
      }
    });
    await agent.settled();
    expect(live.size).toBeGreaterThan(10);
    expect(box.reservations().sort()).toEqual([...live.values()].sort());
    for (const [pod, address] of live) {
      expect(read(`${box.dataDir}/net1/${address}`)).toBe(`${pod.id}\r\neth0`);
      expect(box.link("eth0", pod.netns).addr_info.map(({ local }) => local)).toContain(address);
    }
    expect(box.hostVeths()).toHaveLength(live.size);
    expect(box.records()).toHaveLength(live.size);
    await eachOf([...pods.entries()], 8, async ([index, pod]) => {
      expect((await call("DEL", pod, index % 3 === 0)).exitCode).toBe(0);
    });
    await agent.settled();
    expect(traces(box)).toEqual(NO_TRACES);
  });

  test("one attachment, ADD by both at once: one succeeds, the other is refused", async () => {
    const node = new ServedNode(programs);
    node.serve();
    const { box } = node;
    for (let turn = 0; turn < 10; turn++) {
      const pod = box.pod();
      const both = await Promise.all([node.call("ADD", pod), box.start("ADD", pod).done]);
      const [added, ...more] = both.filter(({ exitCode }) => exitCode === 0);
      expect(more).toEqual([]);
      if (added === undefined) throw new Error(`none succeeded: ${JSON.stringify(both)}`);
      for (const done of both) if (done !== added) expect(errorOf(done).code).toBe(7);
      expect(box.reservations().sort()).toEqual(addressesOf(resultOf(added)).sort());
      const dels = await Promise.all([node.call("DEL", pod), box.start("DEL", pod).done]);
      expect(dels.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
      expect(box.leftovers()).toEqual(NOTHING);
    }
  });
});

describe("the sandbox's namespace vanishes", () => {
  test("before the call: the error of the binary, nothing is left", async () => {
    const node = new ServedNode(programs);
    node.serve();
    const pod = node.box.pod();
    node.box.removePod(pod);
    const done = await node.call("ADD", pod);
    expect(errorOf(done)).toMatchObject({ code: 8, msg: `CNI_NETNS=${pod.netns} does not exist` });
    expect((await node.call("DEL", pod)).exitCode).toBe(0);
    expect(node.box.leftovers()).toEqual(NOTHING);
    expect(programs.taken()).toEqual([]);
  });

  test("at any time of it: it is served all the same, or one clear error; DEL leaves nothing", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    await eachOf(node.box.pods(40), 3, async (pod) => {
      const call = node.start("ADD", pod);
      await Bun.sleep(Math.random() * 25);
      const words = ["sh", "-c", `umount -l ${pod.netns}; rm -f ${pod.netns}`];
      must(...words);
      const done = await call.done;
      if (done.exitCode === 0) resultOf(done);
      else expect(errorOf(done).msg).not.toBe("");
      expect(await node.call("DEL", pod)).toMatchObject({ exitCode: 0, stdout: "" });
    });
    await agent.settled();
    expect(programs.taken()).toEqual([]);
    expect(node.box.leftovers()).toEqual(NOTHING);
  });
});

describe("the disk is full", () => {
  test.each(["dataDir", "stateDir"] as const)(
    "%s: as the binary, nothing stays, room helps",
    async (folder) => {
      const node = new ServedNode(programs);
      const { box } = node;
      box.mountTmpfs(box[folder], "size=64k");
      node.serve();
      const fill = `${box[folder]}/fill`;
      expect(() => writeFileSync(fill, Buffer.alloc(128 * 1024))).toThrow();
      const pod = box.pod();
      const [served, own] = [await node.call("ADD", pod), await box.start("ADD", pod).done];
      expect(errorOf(served)).toEqual(errorOf(own));
      expect([5, 11]).toContain(errorOf(served).code);
      expect(programs.taken()).toEqual([]);
      expect(box.leftovers()).toEqual(NOTHING);
      expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
      rmSync(fill);
      resultOf(await node.call("ADD", pod));
      expect((await node.call("DEL", pod)).exitCode).toBe(0);
      expect(programs.taken()).toEqual([]);
      expect(box.leftovers()).toEqual(NOTHING);
    },
  );
});

describe("the agent is told to end", () => {
  test("in the middle of calls: each has its answer, or nothing of it stays; later ones are the binary's", async () => {
    await eachOf(upTo(6), 2, async () => {
      const node = new ServedNode(programs);
      const agent = node.serve();
      const { box } = node;
      const pods = box.pods(12);
      const calls = pods.map((pod) => node.start("ADD", pod).done);
      await Bun.sleep(10 + Math.random() * 60);
      const ended = agent.stop("SIGTERM");
      const done = await Promise.all(calls);
      expect(await ended).toBe(0);
      expect(node.hasSockets()).toBe(false);
      const isIn = (it: Finished) => it.exitCode === 0;
      for (const failed of done.filter((it) => !isIn(it))) expect(errorOf(failed).code).toBe(11);
      const given = done.filter(isIn).flatMap((it) => addressesOf(resultOf(it)));
      expect(box.reservations().sort()).toEqual(given.sort());
      expect(box.records()).toHaveLength(given.length / 2);
      expect(box.hostVeths()).toHaveLength(given.length / 2);
      for (const pod of pods) expect((await node.call("DEL", pod)).exitCode).toBe(0);
      expect(box.leftovers()).toEqual(NOTHING);
      node.destroy();
    });
  });

  test("while a launcher has greeted it and reads its stdin: the binary does it", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const { finish } = await node.startGreeted(agent, "ADD", node.box.pod());
    expect(await agent.stop("SIGTERM")).toBe(0);
    resultOf(await finish());
    expect(programs.taken()).toEqual(["ADD pod1"]);
  });
});

describe("rules that go a while behind the last pod", () => {
  const MASQUERADE: Json = { ipMasq: true };
  const QUIET_MS = "300";

  test("go when nobody comes, and when the agent ends before", async () => {
    for (const end of ["later", "SIGTERM"] as const) {
      const node = new ServedNode(programs);
      const agent = node.serve({ args: [QUIET_MS] });
      const conf = node.box.conf(MASQUERADE);
      const pod = node.box.pod();
      resultOf(await node.call("ADD", pod, conf));
      expect((await node.call("DEL", pod, conf)).exitCode).toBe(0);
      if (end === "SIGTERM") await agent.stop("SIGTERM");
      await until("the rules are gone", () => rules(node.box).length === 0);
      expect(traces(node.box)).toEqual(NO_TRACES);
    }
  });

  test("go with a fresh agent, or the binary's next DEL, when the agent was killed before", async () => {
    for (const by of ["agent", "binary"] as const) {
      const node = new ServedNode(programs);
      const agent = node.serve({ args: ["60000"] });
      const conf = node.box.conf(MASQUERADE);
      const pod = node.box.pod();
      resultOf(await node.call("ADD", pod, conf));
      expect((await node.call("DEL", pod, conf)).exitCode).toBe(0);
      await agent.stop();
      expect(rules(node.box)).not.toEqual([]);
      if (by === "agent") node.serve({ args: [QUIET_MS] });
      else
        expect(
          run(node.argv(), { stdin: JSON.stringify(conf), env: node.box.variables("DEL", pod) }).exitCode,
        ).toBe(0);
      await until("the rules are gone", () => rules(node.box).length === 0);
      expect(traces(node.box)).toEqual(NO_TRACES);
    }
  });
});
