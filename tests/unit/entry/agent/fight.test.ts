import { expect, test } from "bun:test";
import { createFight } from "../../../../src/entry/agent/fight.ts";
import type { Reason } from "../../../../src/entry/agent/wakeups.ts";

function stage() {
  let nowMs = 0;
  const fight = createFight(() => nowMs);
  const note = (afterMs: number, hasRepaired: boolean, ...reasons: Reason[]) => {
    nowMs += afterMs;
    fight.note(hasRepaired, new Set(reasons));
    return fight.isOn();
  };
  return note;
}

test("somebody who undoes each repair is left to the timer, until it finds all well", () => {
  const note = stage();
  expect([1, 2, 3, 4, 5].map(() => note(100, true, "kernel"))).toEqual([false, false, false, false, false]);
  expect(note(100, true, "kernel")).toBe(true);
  expect(note(5_000, true, "timer")).toBe(true);
  expect(note(5_000, false, "timer")).toBe(false);
});

test("repairs now and then, and changes that the Nodes want, are no fight", () => {
  const note = stage();
  const seldom = Array.from({ length: 20 }, () => note(3_000, true, "kernel"));
  const wanted = Array.from({ length: 20 }, () => note(10, true, "nodes"));
  const quiet = Array.from({ length: 20 }, () => note(10, false, "kernel"));
  expect([...seldom, ...wanted, ...quiet]).not.toContain(true);
});
