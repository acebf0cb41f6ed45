import { expect, test } from "bun:test";
import { createProgress } from "../../../../src/entry/bench/progress.ts";

test("progress tells what begins, with the time, and again what lasts long", () => {
  const lines: string[] = [];
  let now = 1_000;
  let tick = () => {};
  const pass = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      now += 1_000;
      tick();
    }
  };
  const progress = createProgress(
    (line) => void lines.push(line),
    () => now,
    (work) => {
      tick = work;
      return () => {
        tick = () => {};
      };
    },
  );
  pass(20);
  progress.tell("burst");
  pass(31);
  progress.tell("drain");
  pass(14);
  progress.close();
  pass(60);
  expect(lines).toEqual([
    "[0:20] burst",
    "[0:35] burst: for 15 s now",
    "[0:50] burst: for 30 s now",
    "[0:51] drain",
  ]);
});
