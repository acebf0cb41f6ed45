import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes } from "./agent.ts";
import { N1 } from "./agent-cluster.ts";
import { DoctorNode } from "./doctor.ts";
import { must, run } from "./sandbox.ts";

afterAll(destroyNodes);

const HAS_BOTH = Bun.which("iptables-legacy") !== null && Bun.which("iptables-nft") !== null;

/** A node whose PATH has these programs alone. */
function withPrograms(...names: string[]) {
  const node = new DoctorNode();
  const bin = `${node.box.dir}/path`;
  mkdirSync(bin);
  for (const name of names) {
    const path = Bun.which(name);
    if (path !== null) symlinkSync(path, `${bin}/${name}`);
  }
  const findings = () => {
    const done = run(node.argv("--json", "--only", "A1"), { env: { PATH: bin } });
    return JSON.parse(done.stdout).findings as {
      level: string;
      message: string;
      fix: string[];
      evidence: string[];
    }[];
  };
  return { node, bin, findings };
}

const lines = (findings: readonly { level: string; message: string }[]) =>
  findings.map(({ level, message }) => `${level} ${message}`);

describe("A1, programs", () => {
  test("all there is no finding, and their versions are told", () => {
    const node = new DoctorNode();
    const [finding, ...rest] = node.findings("A1");
    expect([finding?.level, rest.length]).toEqual(["pass", 0]);
    expect(finding?.message).toContain(must("iptables", "-V").trim());
  });

  test("a PATH without iptables and nft is told with what to install", () => {
    const [finding] = withPrograms("ip").findings();
    expect(finding).toMatchObject({
      level: "warn",
      message: "there is neither iptables nor nft on the PATH",
      fix: ["apt-get install iptables"],
    });
    expect(finding?.evidence).toContain("iptables: not on the PATH");
  });

  test("a PATH without ip is told", () => {
    expect(lines(withPrograms("nft").findings())).toEqual(["warn there is no ip on the PATH"]);
  });

  test.skipIf(!HAS_BOTH)(
    "rules of kube-proxy in both iptables are told with their chains, and the commands end it",
    () => {
      const node = new DoctorNode();
      for (const program of ["iptables-nft", "iptables-legacy", "ip6tables-legacy"])
        node.box.node(program, "-N", "KUBE-FORWARD");
      const [finding] = node.findings("A1");
      expect(finding).toMatchObject({
        level: "warn",
        message:
          "kubelet or kube-proxy have rules in both iptables: nft (KUBE-FORWARD), legacy (KUBE-FORWARD)",
      });
      for (const command of finding?.fix ?? []) node.box.node("sh", "-c", command);
      expect(lines(node.findings("A1"))[0]).toStartWith("pass ");
    },
  );

  test.skipIf(!HAS_BOTH)("our rules in the other iptables than kube-proxy's are told", () => {
    const node = new DoctorNode();
    node.box.node("iptables-nft", "-N", "KUBE-FORWARD");
    node.box.node("iptables-legacy", "-N", "MINICNI-FORWARD");
    expect(lines(node.findings("A1"))).toEqual([
      "fail our rules are in iptables-legacy, kube-proxy's in iptables-nft",
    ]);
  });

  test.skipIf(!HAS_BOTH)("rules of anybody in both are told with how many, in both families", () => {
    const node = new DoctorNode();
    for (const program of ["iptables-nft", "ip6tables-nft", "ip6tables-legacy"])
      node.box.node(program, "-A", "FORWARD", "-j", "ACCEPT");
    const [finding] = node.findings("A1");
    expect(finding).toMatchObject({
      level: "warn",
      message: "rules are in both iptables: nft (2), legacy (1)",
      fix: ["iptables-legacy-save  # whose they are; let that program use the other iptables"],
    });
  });

  test("of an agent that runs are in one iptables, which is told", async () => {
    const node = new AgentNode();
    node.nodes(N1);
    await node.up();
    const [finding, ...rest] = new DoctorNode(node.box).findings("A1");
    expect([finding?.level, rest.length]).toEqual(["pass", 0]);
    expect(finding?.evidence.join("\n")).toMatch(/^iptables-\w+: [1-9]\d* rules; MINICNI-/m);
  });

  test("a table that iptables can't say is told as not looked at", () => {
    const node = new DoctorNode();
    for (const words of [
      "table ip filter",
      "chain ip filter FORWARD { type filter hook forward priority 7 ; }",
    ])
      node.box.node("nft", "add", ...words.split(" "));
    expect(lines(node.findings("A1"))).toContain(
      "skip programs: not looked at: `iptables-nft-save -t filter`: the table has rules that were not made by iptables",
    );
  });

  test("looking makes no table", () => {
    const node = new DoctorNode();
    node.findings("A1");
    expect(node.box.node("nft", "list", "tables")).toBe("");
    expect(node.box.node("cat", "/proc/net/ip_tables_names")).toBe("");
  });

  test("an iptables that is too old is told by its version", () => {
    const { bin, findings } = withPrograms("ip", "nft");
    writeFileSync(`${bin}/iptables`, "#!/bin/sh\necho 'iptables v1.8.2 (nf_tables)'\n");
    chmodSync(`${bin}/iptables`, 0o755);
    symlinkSync("/bin/sh", `${bin}/sh`);
    expect(lines(findings())).toEqual([
      "warn iptables v1.8.2 (nf_tables) loses parts of rules that newer ones wrote",
    ]);
  });
});
