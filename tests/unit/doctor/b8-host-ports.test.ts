import { describe, expect, test } from "bun:test";
import { hostPortsCheck } from "../../../src/doctor/checks/b8-host-ports.ts";
import type { HostPorts } from "../../../src/doctor/sections/host-ports.ts";
import { findingsOf, linesOf } from "./facts.ts";

type Claim = HostPorts["claims"][number];
type Other = HostPorts["others"][number];

const NOTHING: HostPorts = {
  hasAgent: false,
  claims: [],
  changes: [],
  shutLocalnets: [],
  staleTargets: [],
  others: [],
  unseen: [],
};
const WEB: Claim = {
  network: "minicni",
  containerId: "web",
  ifname: "eth0",
  backend: "iptables",
  ports: [{ protocol: "tcp", hostPort: 8080, containerPort: 80, hostIp: null }],
  targets: ["10.1.2.5", "fd00::5"],
  state: "live",
};
const DNS: Claim = {
  ...WEB,
  containerId: "dns",
  ports: [{ protocol: "udp", hostPort: 53, containerPort: 53, hostIp: "192.0.2.1" }],
  targets: ["10.1.2.6"],
};
const RULE = "-A MINICNI-DNAT-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.2.5:80";
const OTHER: Other = {
  program: "iptables",
  family: 4,
  chain: "CNI-DN-1",
  protocol: "tcp",
  hostPort: 8080,
  hostIp: null,
  to: "10.22.0.9:80",
  rule: "-A CNI-DN-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.9:80",
  isBefore: true,
};
const findings = (more: Partial<HostPorts>) =>
  findingsOf(hostPortsCheck, { hostPorts: { ...NOTHING, ...more } });
const lines = (more: Partial<HostPorts>) => linesOf(findings(more));
const nat = (...rules: string[]) =>
  rules.map((line) => ({ program: "iptables", table: "nat" as const, line }));

describe("B8, host ports", () => {
  test("that are all there are no finding", () => {
    expect(lines({})).toEqual([
      "PASS B8 no pod of this node has a host port of ours, and no rule is left of one",
    ]);
    expect(lines({ claims: [WEB, DNS] })).toEqual(["PASS B8 2 host ports of 2 pods, all with their rules"]);
  });

  test("a rule that is missing names the port it is for, and is put back by a command", () => {
    const [finding] = findings({ claims: [WEB, DNS], changes: nat(RULE) });
    expect(finding).toMatchObject({
      level: "fail",
      message: "1 rule of host ports is missing: tcp 8080 leads to no pod",
      fix: [`iptables -w -t nat ${RULE}`],
    });
    expect(finding?.evidence).toContain("tcp 8080 to 10.1.2.5, fd00::5 port 80 (container web eth0)");
  });

  test("where the jump is missing no port is reached; the agent puts it back", () => {
    const changes = nat("-A PREROUTING -m addrtype --dst-type LOCAL -j MINICNI-HOSTPORTS");
    const [finding] = findings({ hasAgent: true, claims: [WEB, DNS], changes });
    expect(finding?.message).toBe(
      "1 rule of host ports is missing: tcp 8080, udp 192.0.2.1:53 lead to no pod",
    );
    expect(finding?.fix[0]).toStartWith("# the agent puts them back");
  });

  test("an element of nftables that is missing is a rule as well", () => {
    const line = "add element inet minicni_hostports any4_1 { 6 . 8080 : 10.1.2.5 . 80 }";
    const [finding] = findings({ claims: [WEB], changes: [{ program: "nft", table: "", line }] });
    expect(finding?.message).toBe("1 rule of host ports is missing: tcp 8080 leads to no pod");
    expect(finding?.fix).toEqual([`nft '${line}'`]);
  });

  test("a rule for no pod", () => {
    const [finding] = findings({
      claims: [WEB],
      changes: nat(RULE.replace("-A", "-D").replace("8080", "81")),
    });
    expect(finding).toMatchObject({ level: "warn", message: "1 rule of host ports is for no pod" });
    expect(finding?.fix[0]).toStartWith("iptables -w -t nat -D MINICNI-DNAT-1 ");
  });

  test("a pod that is gone keeps its port from others", () => {
    const [finding] = findings({ claims: [WEB, { ...DNS, state: "gone" }] });
    expect(finding).toMatchObject({
      level: "warn",
      message: "host ports of 1 pod that is gone are still held: udp 192.0.2.1:53",
      fix: ["minicni ipam release --network minicni 10.1.2.6"],
    });
  });

  test("a pod whose claim is lost", () => {
    expect(lines({ claims: [{ ...WEB, state: "unlisted" }] })).toEqual([
      "FAIL B8 host ports of 1 pod are in no list of claims: nobody makes their rules",
    ]);
  });

  test("a rule of portmap before ours catches the port", () => {
    const [finding] = findings({ claims: [WEB], others: [OTHER] });
    expect(finding).toMatchObject({
      level: "fail",
      message:
        "a rule of the portmap plugin catches tcp 8080, the host port of container web eth0: it leads to 10.22.0.9:80",
      fix: [
        "iptables -w -t nat -D CNI-DN-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.9:80",
      ],
    });
  });

  test.each<[string, Partial<Other>, string]>([
    ["behind ours", { isBefore: false }, "WARN"],
    ["nobody knows where", { isBefore: null, program: "nft" }, "WARN"],
    ["for another port", { hostPort: 81 }, "PASS"],
    ["for another protocol", { protocol: "udp" }, "PASS"],
    ["to the same pod", { to: "10.1.2.5:80" }, "PASS"],
    ["to the same pod, IPv6", { to: "[fd00::5]:80", family: 6 }, "PASS"],
  ])("a rule of portmap: %s", (_what, more, level) => {
    const found = lines({ claims: [WEB], others: [{ ...OTHER, ...more }] });
    expect(found.map((line) => line.split(" ")[0])).toEqual([level]);
  });

  test("a bridge that somebody has shut to 127.0.0.1", () => {
    const [finding] = findings({ claims: [WEB], shutLocalnets: ["minicni0"] });
    expect(finding?.fix).toEqual(["sysctl -w net/ipv4/conf/minicni0/route_localnet=1"]);
  });

  test("what could not be looked at is skipped, the rest told", () => {
    expect(lines({ claims: [WEB], shutLocalnets: ["minicni0"], unseen: ["no iptables"] })).toEqual([
      "FAIL B8 pods on minicni0 should be reached at 127.0.0.1 and are not",
      "SKIP B8 host ports: not looked at: no iptables",
    ]);
  });
});
