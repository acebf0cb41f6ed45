import { describe, expect, test } from "bun:test";
import { createPaint, formatReport } from "../../../src/entry/lab/table.ts";
import type { LabReport, Probe } from "../../../src/entry/lab/test.ts";
import { address, prefix } from "../../twin/words.ts";

const PLAIN = createPaint(false);
const POD1 = "10.244.1.2";
const probe = (change: Partial<Probe>): Probe => ({
  check: "pod → pod, across nodes",
  family: 4,
  from: "node1/pod1",
  to: "node2/pod1",
  address: "10.244.2.2",
  rttMs: 0.25,
  seenSource: POD1,
  ownAddresses: [POD1, "fd00:1::2"],
  ok: true,
  ...change,
});
const REPORT: LabReport = {
  nodes: [1, 2].map((index) => ({
    name: `node${index}`,
    addresses: [address(`172.31.0.${index}`), address(`fd31::${index}`)],
    podCidrs: [prefix(`10.244.${index}.0/24`), prefix(`fd00:${index}::/64`)],
  })),
  pods: [1, 2].map((index) => ({
    node: `node${index}`,
    name: "pod1",
    containerId: `id${index}`,
    netns: `/run/netns/mclab-node${index}-pod1`,
    addresses: [`10.244.${index}.2`, `fd00:${index}::2`],
  })),
  probes: [
    probe({ rttMs: 0.5 }),
    probe({ rttMs: 0.125 }),
    probe({ rttMs: 12.3 }),
    probe({ family: 6, address: "fd00:2::2", seenSource: "fd00:1::2" }),
    probe({ check: "pod → own node", to: "node1", address: "172.31.0.1" }),
  ],
  drift: [],
  ok: true,
};
const BAD: LabReport = {
  ...REPORT,
  probes: [
    probe({}),
    probe({ seenSource: "172.31.0.1", ok: false }),
    probe({ address: "10.244.2.3", rttMs: null, seenSource: null, ok: false }),
  ],
  drift: ["node1: routes to the pods of peers", "node2: FORWARD lets pods through"],
  ok: false,
};

const lineWith = (text: string, part: string) => text.split("\n").find((line) => line.includes(part)) ?? "";
const withoutHeadings = (text: string) => text.replace(`${lineWith(text, "source kept")}\n`, "");

describe("formatReport", () => {
  test("shows the cluster and the checks", () => {
    expect(withoutHeadings(formatReport(REPORT, PLAIN))).toBe(`underlay switch
├─ node1  172.31.0.1  fd31::1  pods 10.244.1.0/24  fd00:1::/64
│   └─ pod1  10.244.1.2  fd00:1::2
└─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64
    └─ pod1  10.244.2.2  fd00:2::2

✓ pod → own node            IPv4    1/1      0.25ms   0.25ms   0.25ms   yes, no NAT
✓ pod → pod, across nodes   IPv4    3/3      0.13ms   0.50ms   12.30ms  yes, no NAT
✓ pod → pod, across nodes   IPv6    1/1      0.25ms   0.25ms   0.25ms   yes, no NAT

5 of 5 probes passed, every node as desired
`);
  });

  test("heads the columns", () => {
    expect(lineWith(formatReport(REPORT, PLAIN), "source kept").trim().split(/ {2,}/)).toEqual([
      "check",
      "family",
      "passed",
      "min",
      "median",
      "max",
      "source kept",
    ]);
  });

  // The mark (✓, ✗) moves rows two columns to the right, not the headings.
  test("sets each heading above its column", () => {
    const text = formatReport(REPORT, PLAIN);
    const heading = lineWith(text, "source kept");
    const row = lineWith(text, "own node");
    expect([heading.indexOf("family"), heading.indexOf("source kept")]).toEqual([
      row.indexOf("IPv4"),
      row.indexOf("yes"),
    ]);
  });

  test("names what failed: NAT, no answer, drift", () => {
    expect(withoutHeadings(formatReport(BAD, PLAIN))).toBe(`underlay switch
├─ node1  172.31.0.1  fd31::1  pods 10.244.1.0/24  fd00:1::/64
│   └─ pod1  10.244.1.2  fd00:1::2
└─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64
    └─ pod1  10.244.2.2  fd00:2::2

✗ pod → pod, across nodes   IPv4    1/3      0.25ms   0.25ms   0.25ms   1/3

node1/pod1 → node2/pod1 (10.244.2.2): arrived from 172.31.0.1, wanted one of 10.244.1.2, fd00:1::2 (NAT?)
node1/pod1 → node2/pod1 (10.244.2.3): no answer. See \`ip route get\` and \`iptables-save\` in the node's namespace
not as desired: node1: routes to the pods of peers
not as desired: node2: FORWARD lets pods through
1 of 3 probes passed, 2 nodes not as desired
`);
  });

  test("draws every pod of a node", () => {
    const [pod] = REPORT.pods;
    const pods = pod === undefined ? [] : [pod, { ...pod, name: "pod2", addresses: ["10.244.1.3"] }];
    expect(
      formatReport({ ...REPORT, pods }, PLAIN)
        .split("\n")
        .slice(1, 5),
    ).toEqual([
      "├─ node1  172.31.0.1  fd31::1  pods 10.244.1.0/24  fd00:1::/64",
      "│   ├─ pod1  10.244.1.2  fd00:1::2",
      "│   └─ pod2  10.244.1.3",
      "└─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64",
    ]);
  });

  test("colours change nothing but the colours", () => {
    const coloured = formatReport(BAD, createPaint(true));
    expect(coloured).toContain("\x1b[31m");
    expect(Bun.stripANSI(coloured)).toBe(formatReport(BAD, PLAIN));
  });
});
