import { expect, test } from "bun:test";
import { createSteady } from "../../../../src/entry/agent/steady.ts";

test("the first value counts at once, another one when it has held for five seconds", () => {
  let nowMs = 0;
  const steady = createSteady<number>(() => nowMs);
  const at = (ms: number, value: number) => {
    nowMs = ms;
    return steady(value);
  };
  expect(at(0, 1500)).toBe(1500);
  expect(at(1_000, 1450)).toBe(1500);
  expect(at(2_000, 1500)).toBe(1500);
  expect(at(3_000, 1450)).toBe(1500);
  expect(at(7_900, 1450)).toBe(1500);
  expect(at(8_000, 1450)).toBe(1450);
  expect(at(8_100, 1500)).toBe(1450);
});
