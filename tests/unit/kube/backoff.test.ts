import { expect, test } from "bun:test";
import { openBackoff, pause } from "../../../src/kube/backoff.ts";
import { settle } from "../../../src/kube/settle.ts";
import { eventually } from "./recorder.ts";

test("a back-off doubles up to its limit, and starts again after a reset", () => {
  const backoff = openBackoff(500, 30_000, () => 0.5);
  const waits = Array.from({ length: 9 }, () => backoff.next());
  expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  expect(backoff.failures()).toBe(9);
  backoff.reset();
  expect([backoff.failures(), backoff.next()]).toEqual([0, 250]);
});

test("a back-off jitters over the whole of its time", () => {
  let draw = 0;
  const backoff = openBackoff(500, 500, () => draw);
  expect(backoff.next()).toBe(0);
  draw = 0.999;
  expect(backoff.next()).toBe(499.5);
});

test("a pause ends at once, by the reason, when its signal is aborted", async () => {
  const controller = new AbortController();
  const long = pause(1e6, controller.signal);
  controller.abort(new Error("enough"));
  await expect(long).rejects.toThrow("enough");
  await expect(pause(1e6, controller.signal)).rejects.toThrow("enough");
  await pause(1, new AbortController().signal);
});

test("a settler makes one call of many, and another for what comes later", async () => {
  let calls = 0;
  const settler = settle(() => calls++, 30, 10_000);
  for (let touch = 0; touch < 50; touch++) settler.touch();
  expect(calls).toBe(0);
  await eventually("a call", () => calls > 0);
  expect(calls).toBe(1);
  settler.touch();
  await eventually("another call", () => calls === 2);
});

test("a settler does not wait for ever for quiet", async () => {
  let calls = 0;
  const settler = settle(() => calls++, 1e6, 50);
  const touching = setInterval(settler.touch, 5);
  await eventually("a call", () => calls > 0);
  clearInterval(touching);
  settler.cancel();
});

test("a cancelled settler forgets", async () => {
  let calls = 0;
  const settler = settle(() => calls++, 5, 5);
  settler.touch();
  settler.cancel();
  await Bun.sleep(50);
  expect(calls).toBe(0);
});
