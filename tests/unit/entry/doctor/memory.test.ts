import { describe, expect, test } from "bun:test";
import { observeMemory } from "../../../../src/entry/doctor/collect/memory.ts";

const KUBEPODS = "kubepods.slice/kubepods-burstable.slice";
const POD = "kubepods-burstable-pod0b1c2d3e_1111_2222_3333_444455556666.slice";
const LEAF = `${KUBEPODS}/${POD}/cri-containerd-abc.scope`;

/** A machine with these files. */
const hostOf = (files: Readonly<Record<string, string>>) => ({
  readFile: (path: string) => files[path] ?? null,
});

/** Files of a cgroup of version 2. */
function v2(folder: string, max: string, current: number, inactive = 0, kills = 0) {
  const at = `/sys/fs/cgroup/${folder}`;
  return {
    [`${at}/memory.max`]: `${max}\n`,
    [`${at}/memory.current`]: `${current}\n`,
    [`${at}/memory.stat`]: `anon 5\ninactive_file ${inactive}\n`,
    [`${at}/memory.events`]: `low 0\nhigh 0\nmax 9\noom 1\noom_kill ${kills}\n`,
  };
}

describe("the memory of an agent", () => {
  test("of version 2 is that of its container; what others had killed above is not its own", () => {
    const host = hostOf({
      "/proc/7/cgroup": `0::/${LEAF}\n`,
      ...v2(LEAF, "200", 150, 20),
      ...v2(`${KUBEPODS}/${POD}`, "max", 160),
      ...v2(KUBEPODS, "max", 900, 0, 12),
      ...v2("kubepods.slice", "1000", 990, 0, 12),
    });
    expect(observeMemory(host, 7)).toEqual({
      cgroup: `/sys/fs/cgroup/${LEAF}`,
      owner: POD,
      limit: 200,
      used: 150,
      reclaimable: 20,
      kills: 0,
    });
  });

  test("of a container that was made anew after a kill has the kills of its pod", () => {
    const host = hostOf({
      "/proc/7/cgroup": `0::/${LEAF}\n`,
      ...v2(LEAF, "200", 50),
      ...v2(`${KUBEPODS}/${POD}`, "210", 60, 0, 4),
    });
    expect(observeMemory(host, 7)).toMatchObject({ kills: 4, cgroup: `/sys/fs/cgroup/${KUBEPODS}/${POD}` });
  });

  test("seen from within its container is the root of what is mounted", () => {
    const host = hostOf({
      "/proc/7/cgroup": "0::/\n",
      "/sys/fs/cgroup/memory.max": "max\n",
      "/sys/fs/cgroup/memory.current": "70\n",
    });
    expect(observeMemory(host, 7)).toEqual({
      cgroup: "/sys/fs/cgroup/",
      owner: null,
      limit: null,
      used: 70,
      reclaimable: 0,
      kills: 0,
    });
  });

  test("of a service of systemd is the service's", () => {
    const host = hostOf({
      "/proc/7/cgroup": "0::/system.slice/minicni.service\n",
      ...v2("system.slice/minicni.service", "100", 90, 0, 1),
      ...v2("system.slice", "100", 99, 0, 5),
    });
    expect(observeMemory(host, 7)).toMatchObject({ owner: "minicni.service", kills: 1, limit: 100 });
  });

  const V1 = "/sys/fs/cgroup/memory";
  const pod = "kubepods/burstable/pod0b1c2d3e-1111-2222-3333-444455556666";
  const v1 = (folder: string, limit: string) => ({
    [`${V1}${folder}/memory.limit_in_bytes`]: `${limit}\n`,
    [`${V1}${folder}/memory.usage_in_bytes`]: "80\n",
    [`${V1}${folder}/memory.stat`]: "inactive_file 1\ntotal_inactive_file 30\n",
    [`${V1}${folder}/memory.oom_control`]: "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
  });

  test("of version 1 is in the hierarchy of its own; its largest number is no limit", () => {
    const host = hostOf({
      "/proc/7/cgroup": `9:name=systemd:/x\n4:memory:/${pod}/abc\n0::/x\n`,
      ...v1(`/${pod}/abc`, "9223372036854771712"),
      ...v1(`/${pod}`, "100"),
    });
    expect(observeMemory(host, 7)).toEqual({
      cgroup: `${V1}/${pod}`,
      owner: "pod0b1c2d3e-1111-2222-3333-444455556666",
      limit: 100,
      used: 80,
      reclaimable: 30,
      kills: 2,
    });
  });

  test("of version 1 seen from within its container: the mount begins at its cgroup", () => {
    const host = hostOf({
      "/proc/7/cgroup": `4:cpu,memory:/${pod}/abc\n`,
      "/proc/self/mountinfo": `30 25 0:26 /${pod}/abc ${V1} ro,nosuid - cgroup cgroup rw,memory\n`,
      ...v1("", "100"),
    });
    expect(observeMemory(host, 7)).toMatchObject({ cgroup: `${V1}/`, limit: 100, kills: 2 });
  });

  test("that can't be seen is none", () => {
    expect(observeMemory(hostOf({ "/proc/7/cgroup": "0::/../other\n" }), 7)).toBeNull();
    expect(observeMemory(hostOf({}), 7)).toBeNull();
  });
});
