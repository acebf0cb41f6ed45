import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, replaceFile } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { BINARY, must, read } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

const install = ({ binDir, confDir }: DoctorNode) =>
  must(BINARY, "install", "--bin-dir", binDir, "--conf-dir", confDir);

/** A node with programs, an agent, and its configuration; as one that a cluster has. */
async function installed() {
  const node = new AgentNode();
  node.nodes(N1, N2);
  const doctor = new DoctorNode(node.box);
  install(doctor);
  const agent = await node.up();
  await node.until("the report says ready", () => isReady(node), agent);
  return { node, agent, doctor, standalone: `${doctor.binDir}/minicni-standalone` };
}

function isReady({ stateDir }: AgentNode): boolean {
  try {
    const { readiness } = JSON.parse(read(`${stateDir}/agent.json`));
    return readiness.every(({ fault }: { fault: string | null }) => fault === null);
  } catch {
    return false;
  }
}

const script = (path: string, text: string) => {
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o755 });
};

describe("B10, what is installed", () => {
  test("of one build is no finding; a node without anything is skipped", async () => {
    const { doctor } = await installed();
    const [finding, ...rest] = doctor.findings("B10");
    expect([finding?.level, rest]).toEqual(["pass", []]);
    expect(finding?.message).toEndWith(
      `as the agent is; ${doctor.confDir}/10-minicni.conflist is as the agent writes it`,
    );
    expect(new DoctorNode().lines("B10")).toEqual([
      expect.stringMatching(/^SKIP B10 .*: minicni is not installed in/),
    ]);
  });

  test("and no agent yet is no finding", () => {
    const doctor = new DoctorNode();
    install(doctor);
    expect(doctor.findings("B10").map(({ level }) => level)).toEqual(["pass"]);
  });

  test("of another version, of another build, or damaged, is told with both versions", async () => {
    const { doctor, standalone } = await installed();
    script(standalone, "#!/bin/sh\necho minicni 0.0.9\n");
    const [older] = doctor.findings("B10");
    expect(older?.level).toBe("warn");
    expect(older?.message).toStartWith(`${standalone} is minicni 0.0.9, the agent `);
    expect(older?.evidence).toContainEqual(expect.stringContaining(`${standalone}: minicni 0.0.9, sha256 `));
    const version = must(BINARY, "--version");
    script(standalone, `#!/bin/sh\necho ${version}`);
    expect(doctor.lines("B10")).toEqual([
      `WARN B10 ${standalone} is another build of ${version.trim()} than the agent`,
    ]);
    script(standalone, "");
    expect(doctor.lines("B10")).toEqual([`FAIL B10 ${standalone} does not run as minicni`]);
    rmSync(standalone);
    expect(doctor.lines("B10")[0]).toStartWith(
      `FAIL B10 ${doctor.binDir}/minicni is a launcher, and what it`,
    );
    install(doctor);
    expect(doctor.findings("B10").map(({ level }) => level)).toEqual(["pass"]);
  });

  test("without the plugin, with another one, with one that all may write, or without loopback", async () => {
    const { doctor } = await installed();
    const plugin = `${doctor.binDir}/minicni`;
    chmodSync(plugin, 0o777);
    const [mode] = doctor.findings("B10");
    expect(mode?.message).toStartWith(`the mode of ${plugin} is not 0755`);
    must(...((mode?.fix[0] ?? "").split(" ") as [string]));
    expect(doctor.findings("B10").map(({ level }) => level)).toEqual(["pass"]);
    script(plugin, "#!/bin/sh\necho 'CNI minicni plugin' >&2\n");
    expect(doctor.lines("B10")).toEqual([`FAIL B10 ${plugin} is none of this minicni's programs`]);
    rmSync(plugin);
    rmSync(`${doctor.binDir}/loopback`);
    expect(doctor.lines("B10")).toEqual([
      `FAIL B10 there is no plugin ${plugin}`,
      `WARN B10 there is no ${doctor.binDir}/loopback`,
    ]);
    symlinkSync("gone", `${doctor.binDir}/loopback`);
    const [, broken] = doctor.findings("B10");
    expect(broken?.message).toBe(`${doctor.binDir}/loopback can't be run`);
    must("sh", "-c", broken?.fix[0] ?? "");
    expect(doctor.lines("B10")).toHaveLength(1);
  });

  test("beside what a killed installer left, which is none of one that is at work", async () => {
    const { doctor, standalone } = await installed();
    writeFileSync(`${standalone}.tmp`, "half");
    const [finding, ...rest] = doctor.findings("B10");
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      level: "warn",
      message: `an installer was killed, and left ${standalone}.tmp`,
    });
    const holder = Bun.spawn(["flock", doctor.binDir, "-c", "echo held; read -r _"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    try {
      await holder.stdout.getReader().read();
      expect(doctor.findings("B10").map(({ level }) => level)).toEqual(["pass"]);
    } finally {
      holder.stdin.end();
      await holder.exited;
    }
    must("sh", "-c", finding?.fix[0] ?? "");
    expect(doctor.findings("B10").map(({ level }) => level)).toEqual(["pass"]);
  });

  test("and a configuration that somebody edited, removed, or left of Go minicni", async () => {
    const { node, agent, doctor } = await installed();
    await agent.stop();
    const list = JSON.parse(read(node.conflist));
    list.plugins[0].mtu = 1400;
    list.plugins[0].token = "hush-hush";
    replaceFile(node.conflist, JSON.stringify(list));
    const [edited] = doctor.findings("B10");
    expect(edited?.message).toBe(
      `${node.conflist} is not as the agent writes it: plugins[0].mtu: 1400, wanted none, plugins[0].token: a text, wanted none`,
    );
    expect(JSON.stringify(edited)).not.toContain("hush-hush");
    const old = { cniVersion: "0.1.0", name: "minicni", type: "minicni", subnet: "10.244.1.0/24" };
    writeFileSync(`${node.confDir}/10-minicni.conf`, JSON.stringify(old));
    rmSync(node.conflist);
    expect(doctor.lines("B10")).toEqual([`WARN B10 ${node.confDir}/10-minicni.conf is of Go minicni`]);
  });
});
