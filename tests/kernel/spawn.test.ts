import { describe, expect, test } from "bun:test";
import { createDeadline } from "../../src/host/deadline.ts";
import { OverdueError } from "../../src/host/errors.ts";
import { spawn } from "../../src/host/spawn.ts";

const NEVER = createDeadline(Number.POSITIVE_INFINITY);
const sh = (script: string, more: { stdin?: string; timeoutMs?: number } = {}) =>
  spawn({ argv: ["/bin/sh", "-c", script], ...more }, NEVER);

/** Whether a process of this command line is there. */
function isRunning(mark: string): boolean {
  return Bun.spawnSync(["pgrep", "-f", mark]).exitCode === 0;
}

describe("a child", () => {
  test("may open its standard streams by name, as shell plugins do", async () => {
    const script = "set -e; cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr";
    expect(await sh(script, { stdin: "in\n" })).toEqual({
      exitCode: 0,
      stdout: "in\nout\n",
      stderr: "err\n",
      timedOut: false,
    });
  });

  test("is read to the end, however much it says", async () => {
    const { stdout } = await sh("head -c 3000000 /dev/zero");
    expect(stdout).toHaveLength(3_000_000);
  });

  test("that is too slow is killed with what it started", async () => {
    const done = await sh("sleep 3871 & sleep 3872", { timeoutMs: 200 });
    expect(done).toMatchObject({ timedOut: true, stdout: "" });
    expect([isRunning("sleep 3871"), isRunning("sleep 3872")]).toEqual([false, false]);
  });

  test("that ends is done, whoever holds its output still", async () => {
    const done = await sh("echo said; setsid sleep 3 & exit 4");
    expect(done).toMatchObject({ exitCode: 4, stdout: "said\n", timedOut: false });
  });

  test("is ended by the deadline of the call, and by an interruption", async () => {
    const short = createDeadline(150);
    const slow = ["/bin/sh", "-c", "sleep 3873"];
    expect(spawn({ argv: slow }, short)).rejects.toBeInstanceOf(OverdueError);
    const ended = createDeadline(60_000);
    setTimeout(() => ended.interrupt("SIGTERM came"), 100);
    await expect(spawn({ argv: slow }, ended)).rejects.toThrow("sleep 3873`: SIGTERM came");
    expect(isRunning("sleep 3873")).toBe(false);
    // What was begun has to be taken back.
    ended.renew(5_000);
    expect((await spawn({ argv: ["/bin/true"] }, ended)).exitCode).toBe(0);
  });

  test("that is not there is told with the PATH it was looked for in", async () => {
    await expect(spawn({ argv: ["no-such-program"] }, NEVER)).rejects.toThrow(/no-such-program.*PATH=/);
  });
});
