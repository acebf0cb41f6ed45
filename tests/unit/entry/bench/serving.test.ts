import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { createFamily, parseMemoryReport } from "../../../../src/entry/bench/cni/memory.ts";
import {
  describeChain,
  describePlugins,
  LIMITS,
  NO_EXTRAS,
} from "../../../../src/entry/bench/cni/plugins.ts";
import { installPrograms } from "../../../../src/entry/bench/cni/programs.ts";
import { judgeCalls } from "../../../../src/entry/bench/cni/serving.ts";
import { readLauncher } from "../../../../src/host/launcher.ts";
import { processTimeMs } from "../../../../src/host/process-time.ts";

const line = (command: string, outcome: string, count: number) =>
  `minicni_agent_calls_total{command="${command}",outcome="${outcome}"} ${count}`;

describe("judgeCalls", () => {
  test("is content when all calls were served well", () => {
    const text = [
      "# HELP x",
      line("ADD", "ok", 3),
      line("DEL", "ok", 2),
      line("ADD", "declined", 0),
      "other 7",
    ];
    expect(judgeCalls(text.join("\n"), 5)).toBeNull();
  });

  test.each([
    [[line("ADD", "ok", 4)], "5 calls were made, 4 served"],
    [[line("ADD", "ok", 5), line("ADD", "declined", 1)], "5 calls were made, 5 served, 1 declined"],
    [[line("ADD", "ok", 4), line("DEL", "lost", 1)], "5 calls were made, 4 served, 1 lost"],
    [[], "5 calls were made, 0 served"],
  ])("%j: %s", (lines, fault) => {
    expect(judgeCalls(lines.join("\n"), 5)).toBe(fault);
  });
});

describe("plugin sets", () => {
  const programs = { launcher: "/x/minicni", standalone: "/x/minicni-standalone" };
  const sets = describePlugins(programs, [{ folder: "/usr/lib/cni", version: "1.1.1" }]);

  test("are ours in both ways, then the peers'", () => {
    expect(sets.map(({ subject, argv, isServed }) => [subject, argv, isServed])).toEqual([
      ["minicni", [programs.launcher], true],
      ["minicni standalone", [programs.standalone], false],
      ["bridge + host-local 1.1.1", ["/usr/lib/cni/bridge"], false],
    ]);
  });

  test("tell the launcher alone where the agent is", () => {
    const folders = { dataDir: "/d", stateDir: "/s" };
    const variables = sets.map((set) => describeChain(set, folders, NO_EXTRAS, 0).map(({ env }) => env));
    expect(variables).toEqual([[{ MINICNI_SOCKET: "/s/cni.sock" }], [{}], [{}]]);
  });

  test("of a network with host ports and limits are one call of ours, and three programs of a peer", () => {
    const folders = { dataDir: "/d", stateDir: "/s" };
    const extras = { ...NO_EXTRAS, hostPort: true, limits: LIMITS };
    const chains = sets.map((set) => describeChain(set, folders, extras, 7));
    const mappings = { portMappings: [{ hostPort: 20_007, containerPort: 80, protocol: "tcp" }] };
    expect(
      chains.map((chain) => chain.map(({ argv, conf }) => [argv[0], conf.type, conf.runtimeConfig])),
    ).toEqual([
      [[programs.launcher, "minicni", { ...mappings, bandwidth: LIMITS }]],
      [[programs.standalone, "minicni", { ...mappings, bandwidth: LIMITS }]],
      [
        ["/usr/lib/cni/bridge", "bridge", undefined],
        ["/usr/lib/cni/portmap", "portmap", mappings],
        ["/usr/lib/cni/bandwidth", "bandwidth", { bandwidth: LIMITS }],
      ],
    ]);
    const plain = sets.flatMap((set) => describeChain(set, folders, NO_EXTRAS, 7));
    expect(plain.map(({ conf }) => "runtimeConfig" in conf)).toEqual([false, false, false]);
  });
});

describe("installPrograms", () => {
  const inFolder = (work: (folder: string) => void) => {
    const folder = mkdtempSync(`${tmpdir()}/mtest-`);
    try {
      work(`${folder}/bin`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };

  test("puts a copy of the binary beside the launcher", () => {
    inFolder((folder) => {
      const { launcher, standalone } = installPrograms(["/bin/true"], folder);
      expect(readFileSync(launcher).equals(readLauncher(process.arch))).toBe(true);
      expect(readFileSync(standalone).equals(readFileSync("/bin/true"))).toBe(true);
      expect([launcher, standalone].map((path) => statSync(path).mode & 0o100)).toEqual([0o100, 0o100]);
    });
  });

  test("makes one program of a command line of two words", () => {
    inFolder((folder) => {
      const { standalone } = installPrograms(["/bin/echo", "it's", "two words"], folder);
      const { stdout } = Bun.spawnSync([standalone, "more"]);
      expect(stdout.toString()).toBe("it's two words more\n");
    });
  });
});

describe("the watch over memory", () => {
  test("counts what the root starts from then on, and what that starts, and a standing one, not the root", async () => {
    const start = (...words: string[]) =>
      Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    const standing = start("sleep", "60");
    const before = start("sleep", "60");
    // Past its execve.
    await Bun.sleep(50);
    // A stranger to the family: it would leave itself out as the watch that it is.
    const family = createFamily({ root: 1, standing: standing.pid });
    expect(family.look()).toEqual([standing.pid]);
    const nested = createFamily({ root: process.pid, standing: standing.pid });
    nested.look();
    const after = start("sh", "-c", "sleep 60 & wait");
    await Bun.sleep(100);
    const found = nested.look();
    expect(found).toContain(after.pid);
    expect(found).toContain(standing.pid);
    expect(found).not.toContain(before.pid);
    expect(found).not.toContain(process.pid);
    // The shell's own child.
    expect(found.length).toBe(3);
    for (const child of [standing, before, after]) {
      child.kill("SIGKILL");
      await child.exited;
    }
    const rest = nested.look();
    expect(rest).not.toContain(standing.pid);
    for (const pid of rest) process.kill(pid, "SIGKILL");
  });

  test("tells the last line of its log", () => {
    const report = { residentMiB: 12.5, proportionalMiB: 3, looks: 7 };
    expect(parseMemoryReport(`watching\n${JSON.stringify(report)}\n`)).toEqual(report);
    expect(() => parseMemoryReport("watching\n[]\n")).toThrow("told nothing");
  });
});

describe("processTimeMs", () => {
  test("is what the process says itself, and null of one that is not there", () => {
    const end = performance.now() + 30;
    while (performance.now() < end);
    const { user, system } = process.cpuUsage();
    expect(processTimeMs(process.pid)).toBeCloseTo((user + system) / 1_000, -2);
    expect(processTimeMs(2 ** 22 + 1)).toBeNull();
  });
});
