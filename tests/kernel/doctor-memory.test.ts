import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, waitFor } from "./agent.ts";
import { N1 } from "./agent-cluster.ts";
import { DoctorNode } from "./doctor.ts";
import { run } from "./sandbox.ts";

const MIB = 1 << 20;
const V1 = "/sys/fs/cgroup/memory";
const isV1 = existsSync(`${V1}/memory.limit_in_bytes`);
const folder = `${isV1 ? V1 : "/sys/fs/cgroup"}/mtest-doctor-${process.pid}`;
const limitFile = `${folder}/memory.${isV1 ? "limit_in_bytes" : "max"}`;
const usedFile = `${folder}/memory.${isV1 ? "usage_in_bytes" : "current"}`;
/** Whether there is a memory controller for cgroups of ours. */
const mayLimit = run(["mkdir", folder]).exitCode === 0 && existsSync(limitFile);
/** Put before a command: it runs in our cgroup. */
const INSIDE = ["/bin/sh", "-c", `echo $$ > ${folder}/cgroup.procs; exec "$@"`, "sh"];
const unbound = () => writeFileSync(limitFile, isV1 ? "-1" : "max");
const used = () => Number(readFileSync(usedFile, "utf8"));

afterAll(async () => {
  await destroyNodes();
  const isGone = () => {
    try {
      rmdirSync(folder);
    } catch {
      // The last process of it is about to end.
    }
    return !existsSync(folder);
  };
  if (existsSync(folder)) await waitFor("the cgroup can be removed", isGone);
});

/** A node whose agent runs in our cgroup. */
async function limited() {
  const node = new AgentNode();
  node.nodes(N1);
  const agent = node.start({ before: INSIDE });
  await agent.ready();
  return { agent, doctor: new DoctorNode(node.box) };
}

describe("B14, memory limit", () => {
  test("without an agent is skipped", () => {
    expect(new DoctorNode().lines("B14")).toEqual([
      "SKIP B14 memory limit: no agent of this node can be seen",
    ]);
  });

  test("of another node's agent on this machine is not this one's", async () => {
    const node = new AgentNode();
    node.nodes(N1);
    await node.up();
    const other = new DoctorNode();
    const args = ["--state-dir", node.stateDir];
    expect(other.lines("B14", ...args)).toEqual(["SKIP B14 memory limit: no agent of this node can be seen"]);
    expect(new DoctorNode(node.box).lines("B14")[0]).toMatch(
      /^PASS B14 the agent (has no memory limit, and )?uses \d+ MiB/,
    );
  });

  test.skipIf(!mayLimit)("of an agent near it is told with figures; with room it is no finding", async () => {
    const { agent, doctor } = await limited();
    expect(doctor.lines("B14")[0]).toMatch(/^PASS B14 the agent has no memory limit, and uses \d+ MiB$/);
    // Halted, it can't ask for more, and be killed for it.
    process.kill(agent.pid, "SIGSTOP");
    writeFileSync(limitFile, String(used() + 500 * MIB));
    expect(doctor.lines("B14")[0]).toMatch(/^PASS B14 the agent uses \d+ MiB of \d+ MiB$/);
    writeFileSync(limitFile, String(used() + MIB));
    const [finding] = doctor.findings("B14");
    expect(finding?.level).toBe("warn");
    expect(finding?.message).toMatch(/^the agent uses \d+ MiB of \d+ MiB that its cgroup may have$/);
    expect(finding?.evidence[0]).toBe(`agent: process ${agent.pid}, cgroup ${folder}`);
    expect(finding?.fix).toEqual([`# raise the memory limit of ${folder}, by whoever made it`]);
    unbound();
    process.kill(agent.pid, "SIGCONT");
    await agent.stop();
  });

  test.skipIf(!mayLimit)("that the kernel has killed for is told with the count", async () => {
    const { agent, doctor } = await limited();
    process.kill(agent.pid, "SIGSTOP");
    writeFileSync(limitFile, String(used() + 200 * MIB));
    // It offers itself, and grows larger than the agent is with all of its mapped files: the kernel takes it first.
    const offer = ["/bin/sh", "-c", 'echo 1000 > /proc/self/oom_score_adj; exec "$@"', "sh"];
    const hungry = run([...INSIDE, ...offer, "tail", "/dev/zero"]);
    expect(hungry.exitCode).not.toBe(0);
    unbound();
    const [finding] = doctor.findings("B14");
    expect(finding).toMatchObject({
      level: "fail",
      message: "the kernel killed 1 process of the agent's cgroup for want of memory",
    });
    expect(finding?.evidence).toContain("killed for want of memory: 1");
  });
});
