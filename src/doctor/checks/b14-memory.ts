import { check } from "../check.ts";
import { fail, pass, skip, warn } from "../finding.ts";
import type { Memory } from "../sections/memory.ts";
import { countOf } from "../some.ts";

/** From here on the next burst of pods or a list of Nodes can be the one that ends it. */
const NEAR = 0.85;
const MIB = 1 << 20;

/** B14: an agent that is killed for its memory takes the node's repairs with it (flannel#963, multus#1349). */
export const memoryCheck = check("B14", "memory limit", ["memory"], ({ memory }) => {
  if (memory === null) return [skip("memory limit: no agent of this node can be seen")];
  const { limit, used, reclaimable, kills, cgroup, pid } = memory;
  const bound = used - reclaimable;
  const evidence = [
    `agent: process ${pid}, cgroup ${cgroup}`,
    `memory limit: ${limit === null ? "none" : mebibytes(limit)}`,
    `in use: ${mebibytes(used)}, of which the kernel can take back ${mebibytes(reclaimable)}`,
    `killed for want of memory: ${kills}`,
  ];
  if (kills > 0) {
    return [
      fail({
        message: `the kernel killed ${countOf(kills, "process", "processes")} of the agent's cgroup for want of memory`,
        evidence,
        cause:
          limit === null
            ? "the machine itself, or a cgroup above, had no memory left: calls of the plugin and repairs stop with each kill"
            : `${mebibytes(limit)} are too few: calls of the plugin and repairs stop with each kill; the manifest has no limit on purpose`,
        fix: limit === null ? ["# fewer pods on this node, or more memory"] : fixOf(memory),
      }),
    ];
  }
  if (limit === null) return [pass(`the agent has no memory limit, and uses ${mebibytes(bound)}`, evidence)];
  if (bound < limit * NEAR)
    return [pass(`the agent uses ${mebibytes(bound)} of ${mebibytes(limit)}`, evidence)];
  return [
    warn({
      message: `the agent uses ${mebibytes(bound)} of ${mebibytes(limit)} that its cgroup may have`,
      evidence,
      cause:
        "a burst of pods, or a longer list of Nodes, ends it: the kernel kills what goes beyond the limit",
      fix: fixOf(memory),
    }),
  ];
});

const mebibytes = (bytes: number) => `${Math.round(bytes / MIB)} MiB`;

/** By whoever set the limit. */
function fixOf({ owner, cgroup }: NonNullable<Memory>): string[] {
  if (owner?.endsWith(".service") === true) return [`systemctl set-property ${owner} MemoryMax=infinity`];
  if (owner === null && !/kubepods|^\/sys\/fs\/cgroup(\/memory)?\/$/.test(cgroup))
    return [`# raise the memory limit of ${cgroup}, by whoever made it`];
  // A strategic patch by the container's name: its place in the list is of no matter.
  return [
    `kubectl -n kube-system patch daemonset minicni -p '{"spec":{"template":{"spec":{"containers":[{"name":"agent","resources":{"limits":null}}]}}}}'`,
    "kubectl -n kube-system get limitrange  # where the manifest has no limit: one of these gives it",
  ];
}
