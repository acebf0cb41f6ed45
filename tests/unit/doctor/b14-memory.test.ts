import { describe, expect, test } from "bun:test";
import { memoryCheck } from "../../../src/doctor/checks/b14-memory.ts";
import type { Memory } from "../../../src/doctor/sections/memory.ts";
import { findingsOf, linesOf } from "./facts.ts";

const MIB = 1 << 20;
const POD = "kubepods-burstable-pod0b1c2d3e_1111_2222_3333_444455556666.slice";
const HEALTHY: NonNullable<Memory> = {
  pid: 7,
  cgroup: `/sys/fs/cgroup/kubepods.slice/${POD}`,
  owner: POD,
  limit: null,
  used: 100 * MIB,
  reclaimable: 10 * MIB,
  kills: 0,
};
const of = (facts: Partial<typeof HEALTHY>) => findingsOf(memoryCheck, { memory: { ...HEALTHY, ...facts } });

describe("B14, memory limit", () => {
  test.each<[string, Partial<typeof HEALTHY>, string]>([
    ["no limit", {}, "PASS B14 the agent has no memory limit, and uses 90 MiB"],
    ["room", { limit: 200 * MIB }, "PASS B14 the agent uses 90 MiB of 200 MiB"],
    [
      "what can be taken back does not count",
      { limit: 107 * MIB },
      "PASS B14 the agent uses 90 MiB of 107 MiB",
    ],
    ["near it", { limit: 105 * MIB }, "WARN B14 the agent uses 90 MiB of 105 MiB that its cgroup may have"],
    [
      "killed once, with room since",
      { limit: 500 * MIB, kills: 1 },
      "FAIL B14 the kernel killed 1 process of the agent's cgroup for want of memory",
    ],
    [
      "killed without a limit",
      { kills: 3 },
      "FAIL B14 the kernel killed 3 processes of the agent's cgroup for want of memory",
    ],
  ])("%s", (_what, facts, line) => {
    expect(linesOf(of(facts))).toEqual([line]);
  });

  test("without an agent is skipped", () => {
    expect(linesOf(findingsOf(memoryCheck, { memory: null }))).toEqual([
      "SKIP B14 memory limit: no agent of this node can be seen",
    ]);
  });

  test.each<[string, Partial<typeof HEALTHY>, RegExp]>([
    ["a pod's", {}, /^kubectl -n kube-system patch daemonset minicni -p '\{.*"limits":null/],
    ["a container's that sees itself as the root", { owner: null, cgroup: "/sys/fs/cgroup/" }, /^kubectl/],
    [
      "a service's",
      { owner: "minicni.service" },
      /^systemctl set-property minicni\.service MemoryMax=infinity$/,
    ],
    ["somebody's", { owner: null, cgroup: "/sys/fs/cgroup/mine" }, /^# raise .* \/sys\/fs\/cgroup\/mine, /],
  ])("the limit is taken away where it was set: %s", (_what, facts, fix) => {
    expect(of({ limit: 100 * MIB, ...facts })[0]?.fix[0]).toMatch(fix);
  });
});
