import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import {
  checked,
  eachOf,
  Faults,
  gcAll,
  good,
  hasProgram,
  NO_TRACES,
  nextFolder,
  survivors,
  traces,
} from "./faults.ts";
import { countRuns, upTo } from "./faults-node.ts";
import {
  BINARY,
  BRIDGE,
  destroySandboxes,
  type Finished,
  type Json,
  NETWORK,
  type Pod,
  read,
  run,
  Sandbox,
} from "./sandbox.ts";
import { agentKilledAt, type Reached } from "./served-killed.ts";
import { servesCalls } from "./served-path.ts";
import { addressesOf, errorOf, resultOf } from "./views.ts";

setDefaultTimeout(120_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

/** Half of the time of each call is waiting. */
const WIDTH = 4;
const RULES: Json = { ipMasq: true, macspoofchk: true };

/**
 * Runs a call that is killed when it is about to make the n-th such system call; returns whether it came so far, and whether it is done. The
 * main thread is the only one that is followed: it alone changes anything. What a killed call had started may go on
 * for some milliseconds; that is waited for, as the race with it has a test of its own.
 */
async function killedAt(
  box: Sandbox,
  command: string,
  pod: Pod,
  conf: Json,
  call: string,
  nth: number,
): Promise<Reached> {
  if (box.served !== null) return agentKilledAt(box, command, pod, conf, call, nth);
  const mark = nextFolder(box);
  const inject = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=SIGKILL:when=${nth}`];
  const argv = ["nsenter", `--net=${box.netns}`, "strace", "-o", "/dev/null", ...inject, BINARY];
  const done = await box.start(command, pod, conf, { argv, env: { mark } }).done;
  expect(await survivors(mark)).toEqual([]);
  return { isReached: done.exitCode !== 0, isDone: done.exitCode === 0 };
}

/** A sandbox and its pods, made once for many points. */
interface Node {
  readonly box: Sandbox;
  readonly pod: Pod;
  readonly other: Pod;
  /** The result of the other pod's ADD, when that one is there. */
  others: Finished | null;
}

function nodes(count: number): Node[] {
  return Array.from({ length: count }, () => {
    const box = new Sandbox();
    return { box, pod: box.pod(), other: box.pod(), others: null };
  });
}

/** As if the machine were new. */
function reset(node: Node): void {
  const { box } = node;
  node.others = null;
  run(["ip", "-n", box.name, "link", "del", BRIDGE]);
  for (const folder of [box.dataDir, box.stateDir]) rmSync(folder, { recursive: true, force: true });
}

/** The configuration has the list that a GC of the runtime would bring. */
type Aftermath = (node: Node, conf: Json) => Promise<void>;

/** What a runtime does behind a call that was killed; by turns, as each has to lead to the same end. */
const del: Aftermath = async ({ box, pod }, conf) => {
  await good(box, "DEL", { ...pod, netns: "" }, conf);
};
const gc: Aftermath = async ({ box, pod }, conf) => {
  await good(box, "GC", pod, conf);
};

/** A runtime that broke the rule: ADD again, without a DEL between. */
const addAgain: Aftermath = async ({ box, pod }, conf) => {
  const isComplete = box.records().includes(recordOf(pod)) && isCompleteRecord(box, pod);
  const done = await box.start("ADD", pod, conf).done;
  if (isComplete) {
    // Killed between its last step and its answer: for all we can know the runtime was told.
    expect(errorOf(done)).toMatchObject({ code: 7, msg: expect.stringContaining("duplicate allocation") });
  } else {
    await checked(box, pod, conf, done);
    const mine = box
      .reservations()
      .filter((name) => read(`${box.dataDir}/${NETWORK}/${name}`).startsWith(`${pod.id}\r`));
    expect(mine.sort()).toEqual(addressesOf(resultOf(done)).sort());
  }
  await good(box, "DEL", pod, conf);
};

function recordOf({ id }: Pod): string {
  return `${id}:eth0.json`;
}

function isCompleteRecord(box: Sandbox, pod: Pod): boolean {
  return read(`${box.stateDir}/attachments/${NETWORK}/${recordOf(pod)}`).includes('"complete"');
}

/** Without what a killed call was about to write: that has a test of its own. */
function whole(box: Sandbox) {
  const found = traces(box);
  return { ...found, records: found.records.filter((name) => !name.endsWith(".tmp")) };
}

interface Killing {
  readonly command: "ADD" | "DEL" | "GC";
  readonly aftermaths: readonly Aftermath[];
  /** Whether another pod is there, that has to stay as it is. */
  readonly isFirst: boolean;
}

/** One point: true when the call was killed there. */
async function killOnce(node: Node, what: Killing, call: string, nth: number): Promise<boolean> {
  const { box, pod, other } = node;
  const { command, aftermaths, isFirst } = what;
  const conf = box.conf(RULES);
  if (!isFirst && box.records().length === 0) node.others = await good(box, "ADD", other, conf);
  const before = whole(box);
  const list = isFirst ? [] : [{ containerID: other.id, ifname: "eth0" }];
  const listed = { ...conf, "cni.dev/valid-attachments": list };
  if (command !== "ADD") await good(box, "ADD", pod, conf);
  const { isReached, isDone } = await killedAt(
    box,
    command,
    pod,
    command === "GC" ? listed : conf,
    call,
    nth,
  );
  // A call that was done all the same is no case for an ADD again: its attachment is there.
  await (isDone ? del : (aftermaths[nth % aftermaths.length] ?? del))(node, listed);
  expect(whole(box)).toEqual(before);
  if (node.others !== null) await checked(box, other, conf, node.others);
  if (isFirst) reset(node);
  return isReached;
}

/** System calls of the main thread that change something, or stand between two changes. */
const CALLS = ["link", "rename", "unlink", "mkdir", "flock", "setns", "sendto", "vfork", "write", "wait4"];

/** By way of an agent each point costs a process more. */
const STEP = servesCalls() ? 2 : 1;

/** Kills the command at every occurrence of every such call; returns the number of points. */
async function killEverywhere(what: Killing): Promise<number> {
  let count = 0;
  const free = nodes(WIDTH);
  await eachOf(CALLS, WIDTH, async (call) => {
    const node = free.pop() ?? nodes(1)[0];
    if (node === undefined) throw new Error("no node");
    const failures: string[] = [];
    for (let nth = 1, isKilled = true; isKilled && failures.length < 5; nth += STEP) {
      try {
        isKilled = await killOnce(node, what, call, nth);
        if (isKilled) count++;
      } catch (error) {
        failures.push(`${call} ${nth}: ${error instanceof Error ? error.stack : String(error)}`);
        for (const { id } of [node.pod, node.other]) {
          await good(node.box, "DEL", { id, netns: "" }, node.box.conf(RULES));
        }
        reset(node);
      }
    }
    free.push(node);
    if (failures.length > 0) throw new Error(failures.join("\n"));
  });
  return count;
}

describe.skipIf(!hasProgram("strace"))("killed at any system call that changes something", () => {
  const every = [del, gc, addAgain];
  const killings: readonly (readonly [string, Killing])[] = [
    ["ADD of the first pod", { command: "ADD", aftermaths: every, isFirst: true }],
    ["ADD of a further pod", { command: "ADD", aftermaths: [addAgain, del, gc], isFirst: false }],
    ["DEL of the last pod", { command: "DEL", aftermaths: [del, gc], isFirst: true }],
    ["DEL of a further pod", { command: "DEL", aftermaths: [gc, del], isFirst: false }],
    ["GC that ends the last pod", { command: "GC", aftermaths: [del, gc], isFirst: true }],
  ];
  for (const [name, what] of killings) {
    test(`${name}: what a runtime may do next leaves nothing`, async () => {
      expect(await killEverywhere(what)).toBeGreaterThan(20 / STEP);
    });
  }

  test("ADD that was about to put its record in place: GC removes the other file too", async () => {
    const [node] = nodes(1);
    if (node === undefined) throw new Error("no node");
    const { box, pod } = node;
    expect(await killedAt(box, "ADD", pod, box.conf(RULES), "rename", 1)).toMatchObject({ isReached: true });
    expect(box.records()).toHaveLength(1);
    await good(box, "GC", pod, gcAll(box.conf(RULES)));
    expect(traces(box)).toEqual(NO_TRACES);
  });
});

describe("killed while a program that it started goes on", () => {
  test("the DEL right behind an ADD waits for that, and leaves nothing", async () => {
    await eachOf(upTo(await countRuns(RULES, true, "ADD")), 4, async (nth) => {
      const box = new Sandbox();
      const [pod, conf] = [box.pod(), box.conf(RULES)];
      const faults = new Faults(box, "slow", nth);
      const call = box.start("ADD", pod, conf, { env: faults.env });
      await faults.untilStruck();
      call.kill();
      await call.done;
      await good(box, "DEL", pod, conf);
      expect(await faults.survivors()).toEqual([]);
      expect(traces(box)).toEqual(NO_TRACES);
      box.destroy();
    });
  });
});
