import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eachOf } from "./faults.ts";
import { upTo } from "./faults-node.ts";
import { NOTHING, type Pod, type Started } from "./sandbox.ts";
import { destroyNodes, ServedNode, ToldPrograms, until } from "./served-node.ts";
import { addressesOf, errorOf, type Finished, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const programs = new ToldPrograms();
/** Its launcher waits one second for an answer. */
const impatient = new ToldPrograms("-DANSWER_SECONDS=1");
afterEach(() => [programs, impatient].map((it) => it.taken()));

/** One document with code 11, and the binary has not begun what the agent had. */
function expectLater(done: Finished, told: ToldPrograms, msg: string): void {
  expect(errorOf(done)).toMatchObject({ code: 11, msg });
  expect(done.exitCode).toBe(1);
  expect(told.taken()).toEqual([]);
}

const ENDED = "the agent ended in the middle of this call";

describe("the agent is killed at any time of a call", () => {
  test("ADD: one answer or one error; a fresh agent and the binary go on, no address is twice", async () => {
    const node = new ServedNode(programs);
    const { box } = node;
    const [steady, pod] = [box.pod(), box.pod()];
    const held = addressesOf(box.add(steady));
    let failed = 0;
    for (const nth of upTo(60)) {
      programs.taken();
      const agent = node.serve();
      const call = node.start("ADD", pod);
      await Bun.sleep(Math.random() * 20);
      await agent.stop();
      const done = await call.done;
      if (done.exitCode === 0) resultOf(done);
      else expectLater(done, programs, ENDED);
      if (done.exitCode !== 0) failed++;
      const fresh = nth % 2 === 0 ? node.serve() : null;
      programs.taken();
      expect((await node.call("DEL", pod)).exitCode).toBe(0);
      const given = addressesOf(resultOf(await node.call("ADD", pod)));
      expect(programs.taken()).toEqual(fresh === null ? [`DEL ${pod.id}`, `ADD ${pod.id}`] : []);
      expect(given.filter((address) => held.includes(address))).toEqual([]);
      expect(box.reservations().sort()).toEqual([...held, ...given].sort());
      expect((await node.call("DEL", pod)).exitCode).toBe(0);
      await fresh?.stop();
      expect(box.leftovers()).toMatchObject({ links: { length: 1 }, records: { length: 1 } });
      expect(box.reservations().sort()).toEqual([...held].sort());
    }
    expect(failed).toBeGreaterThan(0);
  });

  test("DEL: the next one, by the binary or a fresh agent, leaves nothing", async () => {
    const node = new ServedNode(programs);
    const pod = node.box.pod();
    for (const nth of upTo(30)) {
      node.box.add(pod);
      programs.taken();
      const agent = node.serve();
      const call = node.start("DEL", pod);
      await Bun.sleep(Math.random() * 12);
      await agent.stop();
      const done = await call.done;
      if (done.exitCode !== 0) expectLater(done, programs, ENDED);
      const fresh = nth % 2 === 0 ? node.serve() : null;
      expect(await node.call("DEL", pod)).toMatchObject({ exitCode: 0, stdout: "" });
      await fresh?.stop();
      expect(node.box.leftovers()).toEqual(NOTHING);
      expect(node.box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
    }
  });
});

describe("the agent is stopped", () => {
  test("before it greets: the binary does it, soon", async () => {
    const node = new ServedNode(programs);
    node.serve().kill("SIGSTOP");
    const began = performance.now();
    resultOf(await node.call("ADD", node.box.pod()));
    expect(performance.now() - began).toBeLessThan(8_000);
    expect(programs.taken()).toEqual(["ADD pod1"]);
  });

  test("behind that: code 11 once the launcher's time is over, and nothing of it stays when it goes on", async () => {
    const node = new ServedNode(impatient);
    const agent = node.serve();
    const pod = node.box.pod();
    const { finish } = await node.startGreeted(agent, "ADD", pod);
    agent.kill("SIGSTOP");
    expectLater(await finish(), impatient, "the agent did not answer in 1 s");
    agent.kill("SIGCONT");
    await agent.settled();
    expect(node.box.leftovers()).toEqual(NOTHING);
    resultOf(await node.call("ADD", pod));
    expect(impatient.taken()).toEqual([]);
  });

  test("in the middle of ADDs: each is answered, or taken back when it goes on", async () => {
    await eachOf(upTo(12), 6, async () => {
      const node = new ServedNode(impatient);
      const agent = node.serve();
      const call = node.start("ADD", node.box.pod());
      await Bun.sleep(Math.random() * 30);
      agent.kill("SIGSTOP");
      const done = await Promise.race([call.done, Bun.sleep(4_000)]);
      agent.kill("SIGCONT");
      await agent.settled();
      if (done?.exitCode === 1) expect(errorOf(done).code).toBe(11);
      if (done?.exitCode === 1) expect(node.box.leftovers()).toEqual(NOTHING);
      else resultOf(await call.done);
      node.destroy();
    });
  });
});

describe("the launcher goes away", () => {
  const ways: readonly (readonly [string, string])[] = [
    ["its stdout is a full disk", 'exec "$@" >/dev/full'],
    ["nobody reads its stdout", 'set -o pipefail; { sleep 0.1; exec "$@"; } | true'],
  ];
  test.each(ways)("%s: exit status 1, the ADD is taken back", async (_, script) => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const argv = ["bash", "-c", script, "bash", ...node.argv()];
    const done = await node.start("ADD", node.box.pod(), node.box.conf(), argv).done;
    expect(done).toMatchObject({ exitCode: 1, stdout: "" });
    await agent.settled();
    expect(node.box.leftovers()).toEqual(NOTHING);
    expect(programs.taken()).toEqual([]);
  });

  async function killed(call: Started, withinMs: number): Promise<Finished> {
    await Bun.sleep(Math.random() * withinMs);
    call.kill();
    return await call.done;
  }

  test("killed in the middle of 60 ADDs: what had no answer leaves nothing", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const pods = node.box.pods(60);
    const answered: Pod[] = [];
    await eachOf(pods, 3, async (pod) => {
      const done = await killed(node.start("ADD", pod), 40);
      if (done.stdout !== "") answered.push(pod);
    });
    await agent.settled();
    expect(answered.length).toBeLessThan(pods.length);
    expect(node.box.records().length).toBeLessThanOrEqual(answered.length);
    for (const pod of answered) expect((await node.call("DEL", pod)).exitCode).toBe(0);
    await agent.settled();
    expect(node.box.leftovers()).toEqual(NOTHING);
  });

  test("killed in the middle of DELs: the next one ends it", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const pods = node.box.pods(16);
    for (const pod of pods) resultOf(await node.call("ADD", pod));
    await eachOf(pods, 4, async (pod) => {
      await killed(node.start("DEL", pod), 25);
      expect(await node.call("DEL", pod)).toMatchObject({ exitCode: 0, stdout: "" });
    });
    await agent.settled();
    expect(node.box.leftovers()).toEqual(NOTHING);
  });

  test("late, when the runtime has set the pod up anew: that one stays", async () => {
    const node = new ServedNode(programs);
    const agent = node.serve();
    const { box } = node;
    const pod = box.pod();
    // The launcher holds the answer while nobody takes it, for five seconds.
    const script = 'mkfifo "$0"; exec 3<>"$0"; head -c 65536 /dev/zero >&3; exec "$@" >&3';
    const call = node.start("ADD", pod, box.conf(), [
      "bash",
      "-c",
      script,
      `${box.dir}/fifo`,
      ...node.argv(),
    ]);
    const path = `${box.stateDir}/attachments/net1/${pod.id}:eth0.json`;
    const isComplete = () =>
      box.records().length > 0 && Bun.spawnSync(["grep", "-q", '"complete"', path]).exitCode === 0;
    await until("the pod is set up", isComplete);
    expect(box.call("DEL", pod).exitCode).toBe(0);
    const prevResult = box.add(pod);
    expect((await call.done).exitCode).toBe(1);
    await agent.settled();
    expect(box.call("CHECK", pod, box.conf({ prevResult }))).toMatchObject({ exitCode: 0 });
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });
});

test("stdin stays open: one error with code 11 once the launcher's time is over, nothing was done", async () => {
  const node = new ServedNode(impatient);
  const agent = node.serve();
  const { child } = await node.startGreeted(agent, "ADD", node.box.pod());
  child.stdin.write("{");
  await child.stdin.flush();
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expectLater({ exitCode: await child.exited, stdout, stderr }, impatient, "stdin did not end in 1 s");
  await agent.settled();
  expect(node.box.leftovers()).toEqual(NOTHING);
});
