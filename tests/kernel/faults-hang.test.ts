import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { constants } from "node:os";
import {
  checked,
  eachOf,
  type Fault,
  Faults,
  gcAll,
  good,
  killMarked,
  NO_TRACES,
  neverEnding,
  nextFolder,
  survivors,
  told,
  traces,
  untilCatching,
} from "./faults.ts";
import { countRuns, faultyNode, upTo } from "./faults-node.ts";
import { destroySandboxes, type Json, Sandbox, type Started } from "./sandbox.ts";
import { servesCalls } from "./served-path.ts";

setDefaultTimeout(90_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const RULES: Json = { ipMasq: true, macspoofchk: true };
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** As this module is loaded: suites are described later. */
const IS_SERVED = servesCalls();
/** Most of each call is waiting. */
const WIDTH = 12;

/** Config keys of a call that may take two seconds. */
const LIMITED = { deadline: 2 };

describe("any one program hangs", () => {
  const confs: readonly (readonly [string, Json])[] = [
    ["ipMasq by nftables", { executor: "iproute2", ipMasq: true, ipMasqBackend: "nftables" }],
    ["ipMasq and macspoofchk", { executor: "iproute2", ...RULES }],
  ];
  // Each program of a served call costs an agent of its own.
  for (const [name, overrides] of IS_SERVED ? confs.slice(-1) : confs) {
    for (const isFirst of IS_SERVED ? [true] : [true, false]) {
      const which = isFirst ? "the node's first pod" : "a further pod";

      test(`ADD of ${which}, ${name}: code 11 at the deadline, all is taken back, no process stays`, async () => {
        const faults: Fault[] = isFirst ? ["hang", "hang-late"] : ["hang-late"];
        const count = await countRuns(overrides, isFirst, "ADD");
        const points = faults.flatMap((fault) => upTo(count).map((nth) => ({ fault, nth })));
        await eachOf(points, WIDTH, async ({ fault, nth }) => {
          const { box, conf, pod, before, stays } = await faultyNode(overrides, isFirst);
          const faults = new Faults(box, fault, nth);
          const done = await box.start("ADD", pod, { ...conf, ...LIMITED }, { env: faults.env }).done;
          const { code, text } = told(done);
          expect(`${code} ${text}`).toMatch(/^11 .*\(2 s\)/s);
          // On a very slow machine the time may be over before the run that hangs.
          if (faults.struck()) expect(text).toContain((faults.runs()[nth - 1] ?? "").split(" ")[0] ?? "");
          expect(await faults.survivors()).toEqual([]);
          expect(traces(box)).toEqual(before);
          await stays();
          box.destroy();
        });
      });

      test(`DEL of ${which}, ${name}: ends at the deadline, the next DEL ends it`, async () => {
        const count = await countRuns(overrides, isFirst, "DEL");
        await eachOf(upTo(count), WIDTH, async (nth) => {
          const { box, conf, pod, before, stays } = await faultyNode(overrides, isFirst);
          await good(box, "ADD", pod, conf);
          const faults = new Faults(box, "hang", nth);
          const done = await box.start("DEL", pod, { ...conf, ...LIMITED }, { env: faults.env }).done;
          if (done.exitCode !== 0) expect(told(done).code).toBe(11);
          expect(await faults.survivors()).toEqual([]);
          await good(box, "DEL", pod, conf);
          expect(traces(box)).toEqual(before);
          await stays();
          box.destroy();
        });
      });
    }
  }
});

test("every program hangs: a GC of many attachments ends at its deadline, not at a deadline for each", async () => {
  const { box, conf, pod } = await faultyNode({ executor: "iproute2" });
  const pods = [pod, ...box.pods(7)];
  for (const each of pods) await good(box, "ADD", each, conf);
  const faults = new Faults(box, "hang-from", 1);
  const call = box.start("GC", pod, { ...gcAll(conf), ...LIMITED }, { env: faults.env });
  const done = await Promise.race([call.done, Bun.sleep(35_000)]);
  call.kill();
  await call.done;
  killMarked(faults.env.FAULT_DIR ?? "");
  expect(done?.exitCode ?? "goes on").not.toBe("goes on");
  if (done !== undefined) expect(told(done).code).toBe(11);
  await good(box, "GC", pod, gcAll(conf));
  expect(traces(box)).toEqual(NO_TRACES);
});

describe("a signal comes", () => {
  for (const isFirst of [true, false]) {
    const which = isFirst ? "the node's first pod" : "a further pod";
    test(`during any program of an ADD of ${which}: one document with code 11, all is taken back`, async () => {
      const count = await countRuns(RULES, isFirst, "ADD");
      await eachOf(upTo(count), WIDTH, async (nth) => {
        const { box, conf, pod, before, stays } = await faultyNode(RULES, isFirst);
        const faults = new Faults(box, nth % 2 === 0 ? "hang" : "hang-late", nth);
        const call = box.start("ADD", pod, conf, { env: faults.env });
        await faults.untilStruck();
        const signal = SIGNALS[nth % 3] ?? "SIGTERM";
        call.kill(signal);
        expectInterrupted(await call.done, signal);
        await box.settled();
        expect(await faults.survivors()).toEqual([]);
        expect(traces(box)).toEqual(before);
        await stays();
        box.destroy();
      });
    });
  }

  test("again and again: what was begun is taken back all the same", async () => {
    await eachOf(upTo(await countRuns(RULES, true, "ADD")), 4, async (nth) => {
      const { box, conf, pod, before } = await faultyNode(RULES);
      const faults = new Faults(box, "hang-late", nth);
      const call = box.start("ADD", pod, conf, { env: faults.env });
      await faults.untilStruck();
      let isOver = false;
      const storm = (async () => {
        for (; !isOver; await Bun.sleep(3)) call.kill("SIGTERM");
      })();
      expectInterrupted(await call.done, "SIGTERM");
      isOver = true;
      await storm;
      await box.settled();
      expect(traces(box)).toEqual(before);
      box.destroy();
    });
  });

  test("at a time of its own choosing: either a result that passes CHECK, or nothing stays", async () => {
    await eachOf(upTo(30), 3, async (nth) => {
      const { box, conf, pod, before } = await faultyNode(RULES);
      const call = box.start("ADD", pod, conf);
      await Bun.sleep(60 + Math.random() * 200);
      call.kill(SIGNALS[nth % 3] ?? "SIGTERM");
      const done = await call.done;
      if (done.exitCode === 0) {
        await checked(box, pod, conf, done);
      } else {
        // A signal ahead of our first instruction ends us without a word.
        if (done.stdout !== "") expect(told(done).code).toBe(11);
        await box.settled();
        expect(traces(box)).toEqual(before);
      }
      box.destroy();
    });
  });

  for (const command of ["DEL", "GC"] as const) {
    test(`during any program of a ${command}: it ends, and the next ends the work`, async () => {
      await eachOf(upTo(await countRuns(RULES, true, "DEL")), 4, async (nth) => {
        const { box, conf, pod, before } = await faultyNode(RULES);
        await good(box, "ADD", pod, conf);
        const faults = new Faults(box, "hang", nth);
        const call = box.start(command, pod, gcAll(conf), { env: faults.env });
        await faults.untilStruck();
        call.kill("SIGTERM");
        const done = await call.done;
        // Rules that can't be removed are no reason for a DEL to fail.
        if (command === "GC" || done.exitCode !== 0) expectInterrupted(done, "SIGTERM");
        await box.settled();
        expect(await faults.survivors()).toEqual([]);
        await good(box, command, pod, gcAll(conf));
        expect(traces(box)).toEqual(before);
        box.destroy();
      });
    });
  }

  test("while stdin stays open: code 11", async () => {
    const box = new Sandbox();
    const call = neverEnding(box, "ADD", box.pod());
    await untilCatching(call);
    call.kill("SIGTERM");
    expectInterrupted(await call.done, "SIGTERM");
  });
});

/** Exactly one document, which names the signal. A launcher dies of it without a word; its agent does the rest. */
function expectInterrupted(done: Awaited<Started["done"]>, signal: string): void {
  if (servesCalls()) {
    expect(done).toMatchObject({ exitCode: 128 + constants.signals[signal as NodeJS.Signals], stdout: "" });
    return;
  }
  const { code, text } = told(done);
  expect(code).toBe(11);
  expect(text).toContain(signal);
}

describe("a lock is held by somebody", () => {
  const files = ["data/net1/lock", "state/bridge.lock", "state/rules.lock"];
  for (const file of files) {
    for (const end of ["the deadline", "SIGTERM"] as const) {
      test(`${file}, until ${end}: code 11, nothing stays`, async () => {
        const { box, conf, pod, before } = await faultyNode(RULES);
        const path = `${box.dir}/${file}`;
        mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
        const mark = nextFolder(box);
        const script = 'exec 9>>"$1"; flock 9; echo; exec sleep 300';
        const holder = Bun.spawn({ cmd: ["sh", "-c", script, "sh", path], env: { ...process.env, mark } });
        await holder.stdout.getReader().read();
        const call = box.start("ADD", pod, { ...conf, ...(end === "SIGTERM" ? {} : LIMITED) });
        if (end === "SIGTERM") {
          await untilCatching(call);
          await Bun.sleep(300);
          call.kill("SIGTERM");
          expectInterrupted(await call.done, "SIGTERM");
        } else {
          const { code, text } = told(await call.done);
          expect(code).toBe(11);
          expect(text).toContain(path);
        }
        await box.settled();
        holder.kill("SIGKILL");
        await holder.exited;
        expect(await survivors(mark)).toEqual([]);
        expect(traces(box)).toEqual(before);
      });
    }
  }

  test("another call of the same attachment: code 11, and that one ends as if alone", async () => {
    const { box, conf, pod } = await faultyNode(RULES);
    const faults = new Faults(box, "slow", 2);
    const first = box.start("ADD", pod, conf, { env: faults.env });
    await faults.untilStruck();
    const second = await box.start("ADD", pod, { ...conf, deadline: 0.2 }).done;
    const done = await first.done;
    if (second.stdout !== "") expect([7, 11]).toContain(told(second).code);
    await checked(box, pod, conf, done);
  });
});
