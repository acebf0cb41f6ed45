import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { checked, eachOf, Faults, good, NO_TRACES, traces } from "./faults.ts";
import { countRuns, upTo } from "./faults-node.ts";
import { destroySandboxes, type Finished, type Json, type Pod, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, resultOf } from "./views.ts";

setDefaultTimeout(90_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

function together(box: Sandbox, command: string, pods: readonly Pod[], conf: Json) {
  return Promise.all(pods.map((pod) => box.start(command, pod, conf).done));
}

const RULES: Json = { ipMasq: true, macspoofchk: true };
/** Whether both families' addresses of live pods are each used once, and all of them pass CHECK. */
async function expectLive(box: Sandbox, live: readonly (readonly [Pod, Finished])[], conf: Json) {
  const given = live.flatMap(([, done]) => addressesOf(resultOf(done)));
  expect(new Set(given).size).toBe(given.length);
  await Promise.all(live.map(([pod, done]) => checked(box, pod, conf, done)));
}

describe("everything at once", () => {
  test("20 ADDs, 20 DELs, a third of them killed, and GCs: live pods stay, the rest goes", async () => {
    const box = new Sandbox();
    const conf = box.conf(RULES);
    const [going, coming] = [box.pods(20), box.pods(20)];
    (await together(box, "ADD", going, conf)).map(resultOf);
    const listOf = (pods: readonly Pod[]) => ({
      ...conf,
      "cni.dev/valid-attachments": pods.map(({ id }) => ({ containerID: id, ifname: "eth0" })),
    });
    const storm = (command: string, pods: readonly Pod[]) =>
      pods.map(async (pod, index) => {
        const call = box.start(command, pod, conf);
        if (index % 3 === 0) {
          await Bun.sleep(Math.random() * 1500);
          call.kill();
        }
        return [pod, await call.done] as const;
      });
    const gcs = async () => {
      const done: Finished[] = [];
      for (let n = 0; n < 4; n++) {
        await Bun.sleep(200);
        done.push(await box.start("GC", { id: "", netns: "" }, listOf([...going, ...coming])).done);
      }
      return done;
    };
    const [adds, dels, cleaned] = await Promise.all([
      Promise.all(storm("ADD", coming)),
      Promise.all(storm("DEL", going)),
      gcs(),
    ]);
    // It waits for a moment without any other call; that may not come in its time.
    for (const done of cleaned) if (done.exitCode !== 0) expect(errorOf(done).code).toBe(11);
    for (const [, done] of [...adds, ...dels]) {
      if (done.exitCode !== 0) expect(done.exitCode).toBeGreaterThan(128);
    }
    await box.settled();
    const live = adds.filter(([, done]) => done.exitCode === 0);
    await expectLive(box, live, conf);

    await good(box, "GC", { id: "", netns: "" }, listOf(live.map(([pod]) => pod)));
    await expectLive(box, live, conf);
    expect(box.leftovers()).toMatchObject({
      links: { length: live.length },
      reservations: { length: 2 * live.length },
      records: { length: live.length },
    });
    for (const done of await together(box, "DEL", [...going, ...coming], conf)) {
      expect(done).toMatchObject({ exitCode: 0, stdout: "" });
    }
    expect(traces(box)).toEqual(NO_TRACES);
  });
});

describe("one attachment, two calls at once", () => {
  const boxes = () => Array.from({ length: 8 }, () => new Sandbox());

  test("ADD and DEL: it is there whole, or not at all; the last DEL leaves nothing", async () => {
    await eachOf(boxes(), 2, async (box) => {
      const [pod, conf] = [box.pod(), box.conf(RULES)];
      const calls = [box.start("ADD", pod, conf).done, box.start("DEL", pod, conf).done] as const;
      const [added, deleted] = await Promise.all(calls);
      expect(deleted).toMatchObject({ exitCode: 0, stdout: "" });
      resultOf(added);
      if (box.records().length > 0) await checked(box, pod, conf, added);
      else expect(traces(box)).toEqual(NO_TRACES);
      await good(box, "DEL", pod, conf);
      expect(traces(box)).toEqual(NO_TRACES);
    });
  });

  test("two ADDs, and a third: one succeeds, the others are refused and leave it wired", async () => {
    await eachOf(boxes(), 2, async (box) => {
      const [pod, conf] = [box.pod(), box.conf(RULES)];
      const both = await together(box, "ADD", [pod, pod], conf);
      const [added, ...more] = both.filter(({ exitCode }) => exitCode === 0);
      if (added === undefined) throw new Error(`none succeeded: ${JSON.stringify(both)}`);
      expect(more).toEqual([]);
      const before = traces(box);
      const refused = [...both, await box.start("ADD", pod, conf).done].filter((done) => done !== added);
      for (const done of refused) expect(errorOf(done).code).toBe(7);
      expect(traces(box)).toEqual(before);
      await checked(box, pod, conf, added);
      expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
      await good(box, "DEL", pod, conf);
      expect(traces(box)).toEqual(NO_TRACES);
    });
  });

  test("two ADDs, one of them killed: never two sets of addresses, and DEL leaves nothing", async () => {
    await eachOf(boxes(), 2, async (box) => {
      const [pod, conf] = [box.pod(), box.conf(RULES)];
      const [first, second] = [box.start("ADD", pod, conf), box.start("ADD", pod, conf)];
      await Bun.sleep(50 + Math.random() * 250);
      first.kill();
      const [, done] = await Promise.all([first.done, second.done]);
      await box.settled();
      if (done.exitCode === 0) {
        await checked(box, pod, conf, done);
        expect(box.reservations().sort()).toEqual(addressesOf(resultOf(done)).sort());
      }
      await good(box, "DEL", pod, conf);
      expect(traces(box)).toEqual(NO_TRACES);
    });
  });
});

describe("two pods, at any moment of each other's calls", () => {
  const confs: readonly Json[] = [RULES, { ipMasq: true, ipMasqBackend: "nftables" }];

  test("the DEL of one at any moment of the ADD of another: that one is whole", async () => {
    for (const overrides of confs) {
      await eachOf(upTo(await countRuns(overrides, true, "ADD")), 4, async (nth) => {
        const box = new Sandbox();
        const [conf, going, coming] = [box.conf(overrides), box.pod(), box.pod()];
        await good(box, "ADD", going, conf);
        const faults = new Faults(box, "slow", nth);
        const call = box.start("ADD", coming, conf, { env: faults.env });
        await Promise.race([faults.untilStruck(), call.done]);
        await good(box, "DEL", going, conf);
        await checked(box, coming, conf, await call.done);
        await good(box, "DEL", coming, conf);
        expect(traces(box)).toEqual(NO_TRACES);
        box.destroy();
      });
    }
  });

  test("the ADD of one at any moment of the DEL of another: that one is whole", async () => {
    for (const overrides of confs) {
      await eachOf(upTo(await countRuns(overrides, true, "DEL")), 4, async (nth) => {
        const box = new Sandbox();
        const [conf, going, coming] = [box.conf(overrides), box.pod(), box.pod()];
        await good(box, "ADD", going, conf);
        const faults = new Faults(box, "slow", nth);
        const call = box.start("DEL", going, conf, { env: faults.env });
        await faults.untilStruck();
        const added = await good(box, "ADD", coming, conf);
        expect(await call.done).toMatchObject({ exitCode: 0, stdout: "" });
        await checked(box, coming, conf, added);
        await good(box, "DEL", coming, conf);
        expect(traces(box)).toEqual(NO_TRACES);
        box.destroy();
      });
    }
  });
});
