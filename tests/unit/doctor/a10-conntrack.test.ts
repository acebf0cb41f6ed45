import { describe, expect, test } from "bun:test";
import { conntrackCheck } from "../../../src/doctor/checks/a10-conntrack.ts";
import { findingsOf, linesOf } from "./facts.ts";

const of = (max: number, count: number, drops = 0) =>
  findingsOf(conntrackCheck, { conntrack: { max, count, drops } });

describe("A10, tracked connections", () => {
  test.each([
    [1000, 0, "PASS A10 0 of 1000 tracked connections in use"],
    [1000, 799, "PASS A10 799 of 1000 tracked connections in use"],
    [1000, 800, "WARN A10 800 of 1000 tracked connections in use"],
    [1000, 950, "FAIL A10 950 of 1000 tracked connections in use"],
    [0, 0, "PASS A10 0 of 0 tracked connections in use"],
  ])("a limit of %d with %d in use", (max, count, line) => {
    expect(linesOf(of(max, count))).toEqual([line]);
  });

  test("what to do names twice the limit, now and after a reboot", () => {
    expect(of(1000, 990)[0]?.fix).toEqual([
      "sysctl -w net.netfilter.nf_conntrack_max=2000",
      "echo net.netfilter.nf_conntrack_max=2000 > /etc/sysctl.d/90-conntrack.conf",
    ]);
  });

  test("a kernel that tracks none is skipped", () => {
    expect(linesOf(findingsOf(conntrackCheck, { conntrack: null }))).toEqual([
      "SKIP A10 tracked connections: this kernel tracks none",
    ]);
  });

  test("drops are told as evidence", () => {
    expect(of(1000, 990, 7)[0]?.evidence).toContain("dropped since the start: 7");
  });
});
