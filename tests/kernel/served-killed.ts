import { expect } from "bun:test";
import { type Json, type Pod, run, type Sandbox } from "./sandbox.ts";
import { errorOf } from "./views.ts";

/** Whether a call came to the point where somebody was to be killed, and whether it ended well all the same. */
export interface Reached {
  readonly isReached: boolean;
  readonly isDone: boolean;
}

/**
 * Runs a call whose agent is killed when it is about to make the n-th such system call. The runtime is told one error, or
 * gets its answer: of the full binary, when nothing was begun yet.
 */
export async function agentKilledAt(
  box: Sandbox,
  command: string,
  pod: Pod,
  conf: Json,
  call: string,
  nth: number,
): Promise<Reached> {
  const { served } = box;
  if (served === null) throw new Error("no agent");
  served.isRevived = true;
  const agent = served.agent();
  const end = await agent.inject(`${call}:signal=SIGKILL:when=${nth}`);
  const done = await box.start(command, pod, conf).done;
  await end();
  // By turns the next calls find no agent, or a fresh one.
  served.isRevived = (nth & 2) === 0;
  if (done.exitCode !== 0) {
    expect(agent.isAlive()).toBe(false);
    expect(errorOf(done)).toMatchObject({ code: 11, msg: "the agent ended in the middle of this call" });
  }
  // What it had begun by a program goes on without it for some milliseconds.
  const left = () => run(["ip", "netns", "pids", box.name]).stdout.match(/\d+/g) ?? [];
  for (let tries = 0; left().some((pid) => !served.pids().includes(pid)); tries++) {
    if (tries > 1000) throw new Error(`somebody goes on: ${left().join(" ")}`);
    await Bun.sleep(3);
  }
  return { isReached: !agent.isAlive(), isDone: done.exitCode === 0 };
}
