import { describe, expect, test } from "bun:test";
import { countObjects, formatCommands, stepsDone, summarise } from "../../../../src/entry/agent/summary.ts";
import { HOST, type Operation, type Step } from "../../../../src/plan/step.ts";
import { address, prefix } from "../../../twin/words.ts";

const step = (operation: Operation): Step => ({ ...operation, netns: HOST, why: "test" });
const make = step({ op: "link.add", link: { kind: "bridge", name: "br7" } });
const up = step({ op: "link.set", name: "br7", set: { up: true } });
const own = step({ op: "sysctl.set", key: "net/ipv6/conf/br7/accept_ra", value: "0", optional: true });
const other = step({ op: "sysctl.set", key: "net/ipv4/ip_forward", value: "1", optional: false });
const route = step({
  op: "route.replace",
  route: { dst: prefix("10.1.0.0/24"), via: address("192.0.2.1"), dev: "br7", protocol: 157 },
});

describe("summarise", () => {
  test("says nothing of nothing, one by name, and of many how many", () => {
    expect(summarise("lost", [])).toBeNull();
    expect(summarise("lost", ["a"])).toBe("lost: a");
    expect(summarise("lost", ["a", "b"])).toBe("lost (2): a; b");
    expect(summarise("lost", ["1", "2", "3", "4", "5", "6", "7"])).toBe(
      "lost (7): 1; 2; 3; 4; 5; and 2 more",
    );
  });
});

test("steps are counted by the object that they change", () => {
  expect([...countObjects([make, up, own, route, other])]).toEqual([
    ["link", 2],
    ["sysctl", 2],
    ["route", 1],
  ]);
});

describe("what a plan did", () => {
  const failure = (failed: Step) => ({ step: failed, command: "", message: "no" });

  test("is all of it when nothing failed", () => {
    expect(stepsDone([make, up], [])).toEqual([make, up]);
  });

  test("is not what failed, nor what was optional for a link that could not be made", () => {
    expect(stepsDone([make, own, up, other], [failure(make), failure(up)])).toEqual([other]);
    expect(stepsDone([make, own, up, other], [failure(up)])).toEqual([make, own, other]);
  });
});

test("a plan in one field names its first commands", () => {
  expect(formatCommands([other])).toBe("sysctl -w net.ipv4.ip_forward=1");
  expect(formatCommands([other, up, other, up, other])).toMatch(
    /^sysctl .*; ip link set dev br7 up; .*; and 2 more$/,
  );
});
