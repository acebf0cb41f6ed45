import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { firewalldRules } from "../twin/firewalld.ts";
import { AgentNode, destroyNodes, N1, N2 } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

let agent: AgentNode;
let node: DoctorNode;

beforeEach(async () => {
  await destroyNodes();
  agent = new AgentNode();
  agent.nodes(N1, N2);
  node = new DoctorNode(agent.box);
});

const nodes = () => ["--nodes", agent.nodesFile, "--node", "n1", "--no-probe"];
const lines = () => node.lines("A5", ...nodes());
const finding = () => node.findings("A5", ...nodes())[0];
const CIDRS = ["10.244.1.0/24", "10.244.2.0/24", "fd44:0:0:1::/64", "fd44:0:0:2::/64"];

function rules(program: string, ...words: string[]): void {
  for (const word of words) agent.box.node(program, ...word.split(" "));
}

function load(text: string): void {
  const done = run(["nsenter", `--net=${agent.netns}`, "nft", "-f", "-"], { stdin: text });
  expect(done.stderr).toBe("");
}

/** With pods on the node. */
function addBridge(): void {
  agent.ip("link", "add", "minicni0", "type", "bridge");
  agent.ip("addr", "add", "10.244.1.1/24", "dev", "minicni0");
}

describe("A5 says nothing of", () => {
  test("a quiet node, before and after the agent has been there", () => {
    expect(lines()).toEqual([
      expect.stringMatching(/^PASS A5 no rule that could be seen drops .*no firewall known/),
    ]);
    expect(agent.once().exitCode).toBe(0);
    expect(lines()).toEqual([expect.stringMatching(/^PASS/)]);
  });

  test("a node of which no pod CIDR is known", () => {
    expect(node.lines("A5")).toEqual([
      expect.stringMatching(/^PASS A5 no pod CIDR of this node is known yet/),
    ]);
  });

  test("Docker's policy while minicni is not installed, and once the agent's jump is first", () => {
    rules("iptables-nft", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP");
    expect(lines()).toEqual([expect.stringMatching(/^PASS A5 .*here: Docker/)]);
    addBridge();
    expect(agent.once().exitCode).toBe(0);
    expect(lines()).toEqual([expect.stringMatching(/^PASS A5 .*here: Docker/)]);
    expect(finding()?.evidence).toContain("iptables-nft: -P FORWARD DROP");
  });

  test("firewalld that trusts the pods", () => {
    load(firewalldRules("eth0", CIDRS, ["minicni0"]));
    expect(lines()).toEqual([expect.stringMatching(/^PASS A5 .*here: firewalld/)]);
  });

  test("libvirt's and Podman's rules for links of their own", () => {
    rules(
      "iptables-nft",
      "-N LIBVIRT_FWI",
      "-A LIBVIRT_FWI -o virbr0 -j REJECT",
      "-A FORWARD -j LIBVIRT_FWI",
    );
    expect(agent.once().exitCode).toBe(0);
    expect(lines()).toEqual([expect.stringMatching(/^PASS A5 /)]);
  });
});

describe("A5 names", () => {
  test("firewalld, its chain, and the commands that let pods through", () => {
    load(firewalldRules("eth0"));
    const found = finding();
    expect(found?.level).toBe("fail");
    expect(found?.message).toBe(
      "chain filter_FORWARD of nftables table inet firewalld drops what pods of other nodes send to pods here (IPv4, IPv6)",
    );
    expect(found?.evidence[0]).toMatch(/^filter_FWD_public: reject with icmpx admin-prohibited, handle \d+$/);
    expect(found?.fix).toEqual([
      ...CIDRS.map((cidr) => `firewall-cmd --permanent --zone=trusted --add-source=${cidr}`),
      "firewall-cmd --permanent --zone=trusted --add-interface=minicni0",
      "firewall-cmd --reload",
    ]);
  });

  test("firewalld as something to look at where no pod CIDR is known", () => {
    load(firewalldRules("eth0"));
    expect(node.lines("A5")).toEqual([
      expect.stringMatching(/^SKIP A5 firewalls: firewalld is here; .*--nodes/),
    ]);
  });

  test("another program's chain, and rules that let pods through it", () => {
    load("table inet site {\n chain guard {\n type filter hook forward priority 5; policy drop;\n }\n}\n");
    const found = finding();
    expect(found?.message).toMatch(/^chain guard of nftables table inet site drops/);
    expect(found?.evidence).toEqual(["guard: policy drop"]);
    for (const line of found?.fix.filter((each) => each.startsWith("nft")) ?? [])
      agent.box.node(...line.split(" "));
    expect(lines()).toEqual([expect.stringMatching(/^PASS/)]);
  });

  test.each(["nft", "legacy"])(
    "Docker's policy where nobody accepts pods' packets (iptables-%s)",
    (variant) => {
      addBridge();
      const program = `iptables-${variant}`;
      rules(program, "-t mangle -N KUBE-KUBELET-CANARY", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER");
      rules(program, "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT", "-P FORWARD DROP");
      const found = finding();
      expect(found?.level).toBe("fail");
      expect(found?.message).toMatch(
        new RegExp(`^the policy of FORWARD, ${program}, drops what pods here send`),
      );
      expect(found?.evidence).toContain("-P FORWARD DROP");
      expect(found?.cause).toMatch(
        /^Docker set this policy; no rule of FORWARD leads to minicni's accept rules/,
      );
      expect(found?.fix[0]).toBe(`${program} -P FORWARD ACCEPT`);
      agent.box.node(...(found?.fix[0] ?? "").split(" "));
      expect(lines()).toEqual([expect.stringMatching(/^PASS/)]);
    },
  );

  test("a rule ahead of the agent's jump, by its place, and the command that removes it", () => {
    expect(agent.once().exitCode).toBe(0);
    addBridge();
    rules("iptables-nft", "-I FORWARD 1 -j REJECT --reject-with icmp-host-prohibited");
    const found = finding();
    expect(found?.message).toBe(
      "rule 1 of FORWARD (REJECT), iptables-nft, drops what pods here send to pods of other nodes (IPv4) and what pods of other nodes send to pods here (IPv4)",
    );
    expect(found?.cause).toContain("it stands before minicni's accept rules (rule 2 of FORWARD)");
    const removal = found?.fix.at(-1)?.replace("# or without the rule: ", "") ?? "";
    expect(removal).toBe("iptables-nft -D FORWARD -j REJECT --reject-with icmp-host-prohibited");
    agent.box.node(...removal.split(" "));
    expect(lines()).toEqual([expect.stringMatching(/^PASS/)]);
  });

  test("ufw's chain ahead of the jump, with ufw's own commands", () => {
    expect(agent.once().exitCode).toBe(0);
    rules(
      "iptables-nft",
      "-N ufw-before-forward",
      "-A ufw-before-forward -j DROP",
      "-I FORWARD 1 -j ufw-before-forward",
    );
    const found = finding();
    expect(found?.message).toMatch(/^rule 1 of ufw-before-forward \(DROP\)/);
    expect(found?.cause).toMatch(/^ufw made this rule/);
    expect(found?.fix).toContain("ufw route allow from 10.244.2.0/24");
  });

  test("rules in the iptables that the agent does not use: a packet has to pass both", () => {
    expect(agent.once().exitCode).toBe(0);
    rules("iptables-legacy", "-A FORWARD -j REJECT");
    const found = finding();
    expect(found?.message).toMatch(/^rule 1 of FORWARD \(REJECT\), iptables-legacy/);
    expect(found?.cause).toContain("minicni's accept rules are in the other iptables");
  });

  test("pods of a node without an agent that can send nothing out", () => {
    addBridge();
    rules("iptables-nft", "-P FORWARD DROP");
    const [found] = node.findings("A5");
    expect(found?.message).toBe(
      "the policy of FORWARD, iptables-nft, drops what pods here send to others (IPv4)",
    );
    for (const line of found?.fix ?? []) agent.box.node(...line.split(" "));
    expect(node.lines("A5")).toEqual([expect.stringMatching(/^PASS/)]);
  });

  test("bridged packets that pass kube-proxy's rules by", () => {
    rules("iptables-nft", "-t nat -N KUBE-POSTROUTING");
    expect(lines()).toEqual([expect.stringMatching(/^PASS/)]);
    agent.box.node("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0");
    const found = finding();
    expect(found?.level).toBe("warn");
    expect(found?.evidence).toEqual(["net.bridge.bridge-nf-call-iptables = 0"]);
    expect(found?.fix[0]).toBe("sysctl -w net.bridge.bridge-nf-call-iptables=1");
  });
});
