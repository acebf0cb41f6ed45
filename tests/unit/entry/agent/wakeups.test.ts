import { describe, expect, test } from "bun:test";
import { createWakeups } from "../../../../src/entry/agent/wakeups.ts";

const LONG_MS = 60_000;

describe("the loop is woken", () => {
  test("by time alone, without a reason", async () => {
    expect(await createWakeups().wait(1)).toEqual(new Set());
    expect(await createWakeups().wait(-5)).toEqual(new Set());
  });

  test("by what came before it waited, and while it waits", async () => {
    const wakeups = createWakeups();
    wakeups.wake("nodes");
    expect(await wakeups.wait(LONG_MS)).toEqual(new Set(["nodes"]));
    const waiting = wakeups.wait(LONG_MS);
    wakeups.wake("kernel");
    expect(await waiting).toEqual(new Set(["kernel"]));
  });

  test("once for a burst, with all of its reasons", async () => {
    const wakeups = createWakeups();
    const waiting = wakeups.wait(LONG_MS);
    for (let count = 0; count < 5; count++) {
      wakeups.wake("kernel");
      await Bun.sleep(10);
    }
    wakeups.wake("nodes");
    expect(await waiting).toEqual(new Set(["kernel", "nodes"]));
    expect(await wakeups.wait(1)).toEqual(new Set());
  });

  test("in the middle of a burst that does not end", async () => {
    const wakeups = createWakeups();
    const storm = setInterval(() => wakeups.wake("kernel"), 5);
    try {
      expect(await wakeups.wait(LONG_MS)).toEqual(new Set(["kernel"]));
    } finally {
      clearInterval(storm);
    }
  });
});

test("closing ends every wait, now and later", async () => {
  const wakeups = createWakeups();
  const waiting = wakeups.wait(LONG_MS);
  expect(wakeups.isClosed()).toBe(false);
  wakeups.close();
  await waiting;
  expect(wakeups.isClosed()).toBe(true);
  await wakeups.wait(LONG_MS);
  wakeups.wake("kernel");
  await wakeups.wait(LONG_MS);
});
