import { describe, expect, test } from "bun:test";
import { createHealth, READINESS } from "../../../../src/entry/agent/health.ts";

function clock() {
  let ms = 5_000_000;
  return { now: () => ms, pass: (by: number) => (ms += by) };
}

describe("healthz", () => {
  test("passes while every loop beats within its budget", () => {
    const { now, pass } = clock();
    const health = createHealth(now);
    const resync = health.loop("resync", 40_000);
    health.loop("monitor", 90_000);
    pass(39_000);
    resync.beat();
    pass(40_000);
    expect(health.healthz()).toEqual({
      ok: true,
      text: "[+]resync ok\n[+]monitor ok\nhealthz check passed\n",
    });
  });

  test("names the loop that is late, by how much, and its budget", () => {
    const { now, pass } = clock();
    const health = createHealth(now);
    health.loop("resync", 40_000);
    health.loop("nodes", 2_000).beat();
    pass(43_500);
    const { ok, text } = health.healthz();
    expect(ok).toBe(false);
    expect(text).toContain("[-]resync late by 3.5 s: last seen 44 s ago, budget 40 s\n");
    expect(text).toContain("[-]nodes late by 42 s: last seen 44 s ago, budget 2.0 s\n");
    expect(text).toEndWith("healthz check failed\n");
  });

  test("waits for no loop that is paused, until it runs again", () => {
    const { now, pass } = clock();
    const health = createHealth(now);
    const leaks = health.loop("leaks", 1_000);
    health.pause("leaks");
    pass(3_600_000);
    expect(health.healthz()).toMatchObject({ ok: true, text: expect.stringContaining("[+]leaks paused") });
    leaks.beat();
    pass(1_001);
    expect(health.healthz().ok).toBe(false);
  });

  test("does not mind conditions that fail: a restart would not help", () => {
    const health = createHealth(clock().now);
    health.set("nodes", "API not reachable");
    expect(health.healthz().ok).toBe(true);
  });
});

describe("readyz", () => {
  test("fails until every condition has been seen to hold", () => {
    const health = createHealth(clock().now);
    for (const name of READINESS.slice(0, -1)) health.set(name, null);
    expect(health.isReady()).toBe(false);
    expect(health.readyz()).toEqual({
      ok: false,
      text: "[+]nodes ok\n[+]routes ok\n[+]rules ok\n[-]published not yet\nreadyz check failed\n",
    });
    health.set("published", null);
    expect(health.isReady()).toBe(true);
    expect(health.readyz()).toMatchObject({ ok: true });
  });

  test("says since when a condition fails, whatever its words were meanwhile", () => {
    const { now, pass } = clock();
    const health = createHealth(now, ["nodes"]);
    health.set("nodes", null);
    pass(100_000);
    health.set("nodes", "connection refused");
    pass(20_000);
    health.set("nodes", "timed out\nafter 5 s");
    pass(14_000);
    expect(health.readyz().text).toBe(
      "[-]nodes failed for 34 s: timed out; after 5 s\nreadyz check failed\n",
    );
    health.set("nodes", null);
    health.set("nodes", "refused again");
    pass(1_000);
    expect(health.readyz().text).toContain("failed for 1.0 s: refused again");
  });
});
