import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { DoctorNode } from "./doctor.ts";
import { KINDS, PortNode } from "./host-ports-node.ts";
import { REFERENCE_PLUGINS } from "./passes.ts";
import { destroySandboxes, must, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const PORTS = ["tcp 8080 80", "udp 5353 53"];

function make(kind: (typeof KINDS)[number] = "iptables-nft") {
  const node = new PortNode(kind);
  return { node, doctor: new DoctorNode(node.box) };
}

/** Runs what a finding says is to be done, as a person would. */
function heal(node: PortNode, fix: readonly string[]): void {
  for (const line of fix) must("nsenter", `--net=${node.box.netns}`, "sh", "-c", line);
}

describe("B8, host ports", () => {
  test("of a node without any are no finding", () => {
    expect(new DoctorNode().lines("B8")).toEqual([
      "PASS B8 no pod of this node has a host port of ours, and no rule is left of one",
    ]);
  });

  test.each([...KINDS])(
    "are no finding with %s where all rules are there; one that is missing is put back",
    (kind) => {
      const { node, doctor } = make(kind);
      node.add(PORTS);
      node.add(["tcp 8081 80"]);
      const fine = ["PASS B8 3 host ports of 2 pods, all with their rules"];
      expect(doctor.lines("B8")).toEqual(fine);
      const before = node.rules();
      if (kind === "nftables") {
        const [, name = ""] = /map (any4_\w+) \{/.exec(node.table()) ?? [];
        const element = "{ tcp . 8080 }";
        node.box.node("nft", "delete", "element", "inet", "minicni_hostports", name, element);
      } else {
        const tool = kind;
        const saved = node.box.node(tool, "-t", "nat", "-S").split("\n");
        const rule = saved.find((line) => line.includes("--dport 8080")) ?? "";
        node.box.node(tool, "-t", "nat", ...rule.replace(/^-A/, "-D").split(" "));
      }
      const [finding] = doctor.findings("B8");
      expect(finding).toMatchObject({
        level: "fail",
        message: "1 rule of host ports is missing: tcp 8080 leads to no pod",
      });
      expect(finding?.evidence).toContain("tcp 8080 to 10.7.0.2, fd00:7::2 port 80 (container pod2 eth0)");
      heal(node, finding?.fix ?? []);
      expect(node.rules().sort()).toEqual(before.sort());
      expect(doctor.lines("B8")).toEqual(fine);
    },
  );

  test("that a firewall flushed are named, with their chains or without", () => {
    const { node, doctor } = make();
    node.add(PORTS);
    node.box.node("iptables", "-t", "nat", "-F");
    const flushed = doctor.findings("B8");
    expect(flushed[0]?.level).toBe("fail");
    expect(flushed[0]?.message).toEndWith("missing: tcp 8080, udp 5353 lead to no pod");
    node.box.node("iptables", "-t", "nat", "-X");
    const [gone] = doctor.findings("B8");
    expect(gone?.evidence).toContain(
      "iptables-nft: not there: -A PREROUTING -m addrtype --dst-type LOCAL -j MINICNI-HOSTPORTS",
    );
    heal(node, gone?.fix ?? []);
    expect(doctor.findings("B8")[0]?.level).toBe("pass");
  });

  test("a rule for a pod that there is none of", () => {
    const { node, doctor } = make();
    node.add(PORTS);
    const [, chain = ""] = /-A (MINICNI-DNAT-\w+) /.exec(node.box.node("iptables", "-t", "nat", "-S")) ?? [];
    const rule = ["-p", "tcp", "-m", "tcp", "--dport", "9", "-j", "DNAT", "--to-destination", "10.7.0.99:9"];
    node.box.node("iptables", "-t", "nat", "-A", chain, ...rule);
    const [finding] = doctor.findings("B8");
    expect(finding).toMatchObject({ level: "warn", message: "1 rule of host ports is for no pod" });
    heal(node, finding?.fix ?? []);
    expect(doctor.findings("B8")[0]?.level).toBe("pass");
  });

  test("a pod that went without a DEL still holds its port", () => {
    const { node, doctor } = make();
    const pod = node.add(PORTS);
    const before = node.box.hostVeths().length;
    node.box.removePod(pod);
    for (let tries = 0; node.box.hostVeths().length === before && tries < 200; tries++) Bun.sleepSync(50);
    const [finding] = doctor.findings("B8");
    expect(finding).toMatchObject({
      level: "warn",
      message: "host ports of 1 pod that is gone are still held: tcp 8080, udp 5353",
      fix: ["minicni ipam release --network net1 10.7.0.2"],
    });
  });

  test("claims that somebody removed, though their pods live", () => {
    const { node, doctor } = make();
    node.add(PORTS);
    rmSync(`${node.box.stateDir}/hostports`, { recursive: true });
    const found = doctor.findings("B8");
    expect(found[0]).toMatchObject({
      level: "fail",
      message: "host ports of 1 pod are in no list of claims: nobody makes their rules",
    });
  });

  test("what the portmap plugin left catches the same port, and is taken away by the fix", () => {
    const { node, doctor } = make();
    const old = node.box.pod();
    // As a node had it that came from the reference plugins.
    const conf = {
      cniVersion: "1.0.0",
      name: "old",
      type: "portmap",
      backend: "iptables",
      runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] },
      prevResult: {
        cniVersion: "1.0.0",
        interfaces: [{ name: "eth0", sandbox: old.netns }],
        ips: [{ address: "10.22.0.9/16", interface: 0 }],
      },
    };
    const env = { ...node.box.variables("ADD", old), PATH: process.env.PATH ?? "" };
    const argv = ["nsenter", `--net=${node.box.netns}`, `${REFERENCE_PLUGINS}/portmap`];
    const done = run(argv, { stdin: JSON.stringify(conf), env });
    expect(done).toMatchObject({ exitCode: 0 });
    expect(doctor.findings("B8")[0]).toMatchObject({ level: "pass" });
    node.add(PORTS);
    const [finding] = doctor.findings("B8");
    expect(finding).toMatchObject({ level: "fail" });
    expect(finding?.message).toMatch(
      /^a rule of the portmap plugin catches tcp 8080, the host port of container pod\d eth0: it leads to 10\.22\.0\.9:80$/,
    );
    heal(node, finding?.fix ?? []);
    expect(doctor.findings("B8")[0]?.level).toBe("pass");
  });

  test("what the portmap plugin left in nftables may catch the same port", () => {
    const { node, doctor } = make("nftables");
    node.add(PORTS);
    const rules = [
      "add table ip cni_hostport",
      "add chain ip cni_hostport hostports",
      'add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.22.0.9:80 comment "old"',
      'add rule ip cni_hostport hostports ip daddr 192.0.2.77 tcp dport 8081 dnat to 10.22.0.9:81 comment "old"',
    ];
    for (const rule of rules) node.box.node("nft", rule);
    const found = doctor.findings("B8");
    expect(found).toMatchObject([
      {
        level: "warn",
        message:
          "a rule of the portmap plugin may catch tcp 8080, the host port of container pod2 eth0: it leads to 10.22.0.9:80",
      },
    ]);
    expect(found[0]?.fix[0]).toContain("nft -a list chain ip cni_hostport hostports");
  });

  test("can't be seen without the programs that hold them, and say so", () => {
    const { node, doctor } = make();
    node.add(PORTS);
    const argv = doctor.argv("--json", "--only", "B8");
    const done = run(["env", "PATH=/nonexistent", ...argv]);
    const { findings } = JSON.parse(done.stdout);
    expect(findings[0]).toMatchObject({ level: "skip" });
    expect(findings[0].message).toStartWith("host ports: not looked at: ");
  });
});
