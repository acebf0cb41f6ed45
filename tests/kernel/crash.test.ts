import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { BINARY, destroySandboxes, type Json, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const STRACE = "/usr/bin/strace";

/** Runs a call that is killed when it is about to make the n-th such system call; returns whether it came so far. */
function killedAt(box: Sandbox, command: string, pod: Pod, conf: Json, call: string, nth: number): boolean {
  const inject = [`trace=${call}`, "-e", `inject=${call}:signal=SIGKILL:when=${nth}`];
  const argv = [
    "/usr/bin/nsenter",
    `--net=${box.netns}`,
    STRACE,
    "-f",
    "-o",
    "/dev/null",
    "-e",
    ...inject,
    BINARY,
  ];
  return run(argv, { stdin: JSON.stringify(conf), env: box.variables(command, pod) }).exitCode !== 0;
}

describe.skipIf(!existsSync(STRACE))("killed at one system call", () => {
  const points = [
    ["ADD", "link"],
    ["ADD", "unlink"],
    ["ADD", "rename"],
    ["ADD", "setns"],
    ["ADD", "wait4"],
    ["DEL", "unlink"],
  ] as const;
  for (const [command, call] of points) {
    test(`${command} at ${call}: DEL takes all back, the next ADD works`, () => {
      const box = new Sandbox();
      const conf = box.conf({ ipMasq: true });
      const given: string[] = [];
      let killed = 0;
      for (let nth = 1; nth <= 4; nth++) {
        const pod = box.pod();
        if (command === "DEL") box.add(pod, conf);
        if (killedAt(box, command, pod, conf, call, nth)) killed++;
        expect(box.call("DEL", { ...pod, netns: "" }, conf).exitCode).toBe(0);
        expect(box.leftovers()).toEqual(NOTHING);
        expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
        given.push(...addressesOf(box.add(pod, conf)));
        expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
        expect(box.call("DEL", pod, conf).exitCode).toBe(0);
      }
      expect(killed).toBeGreaterThan(0);
      expect(new Set(given).size).toBe(8);
    });
  }
});
