import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { formatConflist } from "../../src/topology/conflist.ts";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3, replaceFile } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { read } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

async function running() {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const agent = await node.up();
  const doctor = new DoctorNode(node.box);
  const path = `${node.stateDir}/agent.json`;
  await node.until("all was in place once", () => reported(path).lastSyncAt !== null, agent);
  return { node, agent, doctor, path };
}

function reported(path: string): Record<string, unknown> {
  try {
    return JSON.parse(read(path));
  } catch {
    return { lastSyncAt: null };
  }
}

describe("B12, the agent", () => {
  test("that runs is no finding; a node that never had one is skipped", async () => {
    const { agent, doctor } = await running();
    const [finding, ...rest] = doctor.findings("B12");
    expect(rest).toEqual([]);
    expect(finding?.level).toBe("pass");
    expect(finding?.message).toMatch(
      /^the agent \(minicni .*\) runs since .*; 3 Nodes of file .*, last word/,
    );
    expect(finding?.evidence[0]).toMatch(new RegExp(`^process ${agent.pid}: \\S+ agent$`));
    const alone = new DoctorNode().lines("B12");
    expect(alone).toEqual([
      expect.stringMatching(/^SKIP B12 the agent: none has run here in this boot \(no agent has written/),
    ]);
  });

  test("that was stopped, and one that was killed, are told apart; with one again all is well", async () => {
    const { node, agent, doctor } = await running();
    await agent.stop();
    expect(doctor.lines("B12")).toEqual([
      expect.stringMatching(/^WARN B12 the agent was stopped .* ago, and none runs now$/),
    ]);
    const next = await node.up();
    await node.until("a report of now", () => reported(`${node.stateDir}/agent.json`).pid === next.pid, next);
    expect(doctor.findings("B12").map(({ level }) => level)).toEqual(["pass"]);
    await next.stop("SIGKILL");
    const [finding] = doctor.findings("B12");
    expect(finding?.message).toMatch(
      /^the agent has ended without a word, .* ago at most, and none runs now$/,
    );
    expect(finding?.evidence).toContain("nobody holds the agent's lock");
    expect(finding?.fix).toContain(
      "kubectl -n kube-system delete pod -l app.kubernetes.io/name=minicni --field-selector spec.nodeName=n1",
    );
  });

  test("that hangs is told by what it has not said", async () => {
    const { agent, doctor, path } = await running();
    process.kill(agent.pid, "SIGSTOP");
    try {
      const long = new Date(Date.now() - 600_000).toISOString();
      replaceFile(path, JSON.stringify({ ...reported(path), writtenAt: long }));
      const [finding] = doctor.findings("B12");
      expect(finding?.level).toBe("warn");
      expect(finding?.message).toBe(
        "the agent has told nothing for 10 min; while it lives it does every 15 s",
      );
      expect(finding?.evidence).toContain("a process holds the agent's lock");
    } finally {
      process.kill(agent.pid, "SIGCONT");
    }
  });

  test("that did not come after a boot, while the runtime gives pods to minicni", () => {
    const doctor = new DoctorNode();
    writeFileSync(`${doctor.confDir}/10-minicni.conflist`, formatConflist(doctor.box.stateDir));
    const [finding] = doctor.findings("B12");
    expect(finding).toMatchObject({
      level: "fail",
      message: `no agent has run in this boot, and ${doctor.confDir}/10-minicni.conflist hands pods to minicni`,
      cause: "the plugin waits for the agent's pod CIDRs: every new pod stays in ContainerCreating",
    });
  });

  test("is not missed where its state folder is below the host's root alone, as in a container", () => {
    const doctor = new DoctorNode();
    const { stateDir } = doctor.box;
    writeFileSync(`${doctor.confDir}/10-minicni.conflist`, formatConflist(stateDir));
    mkdirSync(stateDir, { recursive: true });
    const below = `${doctor.root}${stateDir}`;
    mkdirSync(dirname(below), { recursive: true });
    renameSync(stateDir, below);
    expect(doctor.lines("B12")).toEqual([
      `SKIP B12 the agent: not looked at: the agent's ${stateDir} is elsewhere here: --state-dir ${below}`,
    ]);
  });

  test("whose report is damaged is not taken for one that is not there", async () => {
    const { agent, doctor, path } = await running();
    await agent.stop("SIGKILL");
    replaceFile(path, "{");
    const [finding] = doctor.findings("B12");
    expect(finding).toMatchObject({
      level: "warn",
      message: "what the agent tells can't be read, and none runs",
    });
    expect(finding?.evidence.at(-1)).toContain("is no report of an agent of this version");
  });

  test("that goes by what it knew, since its Nodes are nowhere", async () => {
    const { node, agent, doctor, path } = await running();
    await node.until("the Nodes are kept", () => read(`${node.dataDir}/nodes.json`).includes("n3"), agent);
    await agent.stop();
    rmSync(node.nodesFile);
    const next: Agent = node.start();
    await node.until("a report of now", () => reported(path).pid === next.pid, next);
    const finding = () => doctor.findings("B12").find(({ message }) => message.includes("list of Nodes"));
    await node.until("the doctor says so", () => finding() !== undefined, next);
    expect(finding()?.level).toBe("warn");
    expect(finding()?.message).toStartWith(
      `the agent has no list of Nodes of now from file ${node.nodesFile}`,
    );
    expect(finding()?.evidence.join("\n")).toContain(node.nodesFile);
  });

  test("whose repairs somebody undoes again and again", async () => {
    const { node, agent, doctor } = await running();
    const isBack = () => node.routes().some((line) => line.startsWith("10.244.2.0/24"));
    for (let round = 0; round < 4; round++) {
      node.ip("route", "del", "10.244.2.0/24");
      await node.until("the route is back", isBack, agent);
    }
    await node.until("the doctor says so", () => doctor.findings("B12")[0]?.level === "warn", agent);
    const [finding] = doctor.findings("B12");
    expect(finding?.message).toMatch(
      /^somebody undoes what the agent puts back: 4 times in .*, route: .*10\.244\.2\.0\/24/,
    );
    expect(finding?.evidence).toHaveLength(4);
    expect(finding?.fix.at(-1)).toBe("ip -ts monitor route");
  });
});
