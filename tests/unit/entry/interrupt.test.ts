import { expect, test } from "bun:test";
import { catchSignals } from "../../../src/entry/interrupt.ts";
import { createDeadline } from "../../../src/host/deadline.ts";

test("catchSignals ends what runs, tells the first signal, and gives the last one's exit code", () => {
  const deadline = createDeadline(Number.POSITIVE_INFINITY);
  const told: string[] = [];
  const before = process.listenerCount("SIGINT");
  const interruption = catchSignals(deadline, (signal) => void told.push(signal));
  expect([interruption.signal(), interruption.exitCode()]).toEqual([null, 0]);
  process.emit("SIGINT");
  expect([interruption.signal(), interruption.exitCode()]).toEqual(["SIGINT", 130]);
  expect(() => deadline.check("a call")).toThrow("SIGINT came");
  process.emit("SIGTERM");
  expect([interruption.signal(), interruption.exitCode(), told]).toEqual(["SIGTERM", 143, ["SIGINT"]]);
  interruption.release();
  expect(process.listenerCount("SIGINT")).toBe(before);
});
