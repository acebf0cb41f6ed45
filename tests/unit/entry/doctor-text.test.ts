import { describe, expect, test } from "bun:test";
import type { Finding } from "../../../src/doctor/finding.ts";
import { describeReport } from "../../../src/doctor/report.ts";
import { formatDoctor } from "../../../src/entry/doctor/text.ts";
import { createPaint } from "../../../src/entry/output/paint.ts";
import { factsOf } from "../doctor/facts.ts";

const NOTHING = { evidence: [], cause: null, fix: [] };
const FINDINGS: readonly Finding[] = [
  {
    id: "A1",
    level: "pass",
    message: "iptables v1.8.9 (nf_tables), where kube-proxy has its rules",
    ...NOTHING,
  },
  {
    id: "A3",
    level: "fail",
    message: "IPv4 forwarding is off",
    evidence: ["net.ipv4.ip_forward = 0", "/etc/sysctl.d/99-hardening.conf:3: net.ipv4.ip_forward = 0"],
    cause:
      "/etc/sysctl.d/99-hardening.conf turns it off at each boot: pods reach nobody outside of this node",
    fix: [
      "sed -i 's/^net.ipv4.ip_forward.*/net.ipv4.ip_forward = 1/' /etc/sysctl.d/99-hardening.conf",
      "sysctl --system",
    ],
  },
  { id: "B1", level: "skip", message: "routes: not looked at: no agent runs", ...NOTHING },
  {
    id: "B5",
    level: "warn",
    message: "eth0 has 1400 bytes",
    evidence: Array.from({ length: 10 }, (_, at) => `line ${at}`),
    cause: null,
    fix: [],
  },
];
const REPORT = describeReport(factsOf({}), FINDINGS);
const plain = (width: number | null) => formatDoctor(REPORT, { width, paint: createPaint(false) });

describe("the text of a doctor run", () => {
  test("has the worst first, each with evidence, cause and commands; then the count", () => {
    expect(plain(null)).toBe(`FAIL  A3  IPv4 forwarding is off
          | net.ipv4.ip_forward = 0
          | /etc/sysctl.d/99-hardening.conf:3: net.ipv4.ip_forward = 0
          why: /etc/sysctl.d/99-hardening.conf turns it off at each boot: pods reach nobody outside of this node
          fix: sed -i 's/^net.ipv4.ip_forward.*/net.ipv4.ip_forward = 1/' /etc/sysctl.d/99-hardening.conf
               sysctl --system
          docs/operations.md#a3
WARN  B5  eth0 has 1400 bytes
          | line 0
          | line 1
          | line 2
          | line 3
          | line 4
          | line 5
          | line 6
          | line 7
          | and 2 more: --json
          docs/operations.md#b5
SKIP  B1  routes: not looked at: no agent runs
PASS  A1  iptables v1.8.9 (nf_tables), where kube-proxy has its rules

1 failed, 1 warning, 1 skipped, 1 passed
`);
  });

  test("breaks sentences at 40 columns, and no command", () => {
    expect(plain(40).split("\n").slice(0, 16)).toEqual([
      "FAIL  A3  IPv4 forwarding is off",
      "          | net.ipv4.ip_forward = 0",
      "          | /etc/sysctl.d/99-hardening.conf:3:",
      "          | net.ipv4.ip_forward = 0",
      "          why:",
      "          /etc/sysctl.d/99-hardening.conf",
      "          turns it off at each boot:",
      "          pods reach nobody outside of",
      "          this node",
      "          fix: sed -i 's/^net.ipv4.ip_forward.*/net.ipv4.ip_forward = 1/' /etc/sysctl.d/99-hardening.conf",
      "               sysctl --system",
      "          docs/operations.md#a3",
      "WARN  B5  eth0 has 1400 bytes",
      "          | line 0",
      "          | line 1",
      "          | line 2",
    ]);
  });

  test("is the same with colours, but for the colours", () => {
    const coloured = formatDoctor(REPORT, { width: null, paint: createPaint(true) });
    expect(coloured).not.toBe(plain(null));
    expect(Bun.stripANSI(coloured)).toBe(plain(null));
  });
});
