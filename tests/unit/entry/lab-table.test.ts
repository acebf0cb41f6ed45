import { describe, expect, test } from "bun:test";
import { toJson } from "../../../src/entry/lab/json.ts";
import type { Probe } from "../../../src/entry/lab/probe.ts";
import { formatReport } from "../../../src/entry/lab/table.ts";
import type { LabReport } from "../../../src/entry/lab/test.ts";
import { createPaint } from "../../../src/entry/output/paint.ts";
import { address, prefix } from "../../twin/words.ts";

const PLAIN = createPaint(false);
const POD1 = "10.244.1.2";
const probe = (change: Partial<Probe>): Probe => ({
  check: "pod → pod, across nodes",
  family: 4,
  from: "node1/pod1",
  to: "node2/pod1",
  address: "10.244.2.2",
  path: "direct",
  rttMs: 0.25,
  seenSource: POD1,
  ownAddresses: [POD1, "fd00:1::2"],
  isMasqueraded: false,
  ok: true,
  ...change,
});
const REPORT: LabReport = {
  subnets: [
    { name: "subnet1", networks: [prefix("172.31.0.0/24"), prefix("fd31::/64")], nodes: ["node1", "node2"] },
  ],
  paths: [],
  remarks: [],
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
    probe({ rttMs: 0.125, path: "tunnel" }),
    probe({ rttMs: 12.3 }),
    probe({ family: 6, address: "fd00:2::2", seenSource: "fd00:1::2" }),
    probe({ check: "pod → own node", to: "node1", address: "172.31.0.1", path: null }),
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
  remarks: ["node2: node3 is behind gateway 172.31.0.254"],
  ok: false,
};

const lineWith = (text: string, part: string) => text.split("\n").find((line) => line.includes(part)) ?? "";
const withoutHeadings = (text: string) => text.replace(`${lineWith(text, "source kept")}\n`, "");

describe("formatReport", () => {
  test("shows the cluster and the checks", () => {
    expect(withoutHeadings(formatReport(REPORT, PLAIN))).toBe(`underlay switch
├─ node1  172.31.0.1  fd31::1  pods 10.244.1.0/24  fd00:1::/64
│  └─ pod1  10.244.1.2  fd00:1::2
└─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64
   └─ pod1  10.244.2.2  fd00:2::2

✓ pod → own node            IPv4    1/1      0.25ms   0.25ms   0.25ms   yes, no NAT        –
✓ pod → pod, across nodes   IPv4    3/3      0.13ms   0.50ms   12.30ms  yes, no NAT        2 direct, 1 tunnel
✓ pod → pod, across nodes   IPv6    1/1      0.25ms   0.25ms   0.25ms   yes, no NAT        direct

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
      "path",
    ]);
  });

  // The mark (✓, ✗) moves rows two columns to the right, not the headings.
  test("sets each heading above its column", () => {
    const text = formatReport(REPORT, PLAIN);
    const heading = lineWith(text, "source kept");
    const row = lineWith(text, "own node");
    expect(["family", "source kept", "path"].map((word) => heading.indexOf(word))).toEqual(
      ["IPv4", "yes", "–"].map((word) => row.indexOf(word)),
    );
  });

  test("names what failed: NAT, no answer, drift", () => {
    expect(withoutHeadings(formatReport(BAD, PLAIN))).toBe(`underlay switch
├─ node1  172.31.0.1  fd31::1  pods 10.244.1.0/24  fd00:1::/64
│  └─ pod1  10.244.1.2  fd00:1::2
└─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64
   └─ pod1  10.244.2.2  fd00:2::2

✗ pod → pod, across nodes   IPv4    1/3      0.25ms   0.25ms   0.25ms   1/3                direct

node1/pod1 → node2/pod1 (10.244.2.2): arrived from 172.31.0.1, wanted one of 10.244.1.2, fd00:1::2 (NAT?)
node1/pod1 → node2/pod1 (10.244.2.3): no answer. See \`ip route get\` and \`iptables-save\` in the node's namespace
not as desired: node1: routes to the pods of peers
not as desired: node2: FORWARD lets pods through
the agent of node2: node3 is behind gateway 172.31.0.254
1 of 3 probes passed, 2 nodes not as desired
`);
  });

  test("tells what arrived from the pod's node, where that is wanted", () => {
    const node = "172.31.0.1";
    const wanted = probe({ isMasqueraded: true, ownAddresses: [node], seenSource: node, path: null });
    const text = (probes: readonly Probe[]) =>
      lineWith(formatReport({ ...REPORT, probes }, PLAIN), "across nodes").split(/ {2,}/)[6];
    expect(text([probe({}), wanted])).toBe("1 yes, 1 as node");
    expect(text([probe({}), { ...wanted, seenSource: POD1 }])).toBe("1/2");
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
      "│  ├─ pod1  10.244.1.2  fd00:1::2",
      "│  └─ pod2  10.244.1.3",
      "└─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64",
    ]);
  });

  test("draws the router and its subnets where there are several", () => {
    const subnets = [1, 2].map((index) => ({
      name: `subnet${index}`,
      networks: [prefix(`172.31.${index}.0/24`)],
      nodes: [`node${index}`],
    }));
    expect(formatReport({ ...REPORT, subnets }, PLAIN).split("\n\n")[0]).toBe(
      `router, knows the underlay subnets alone
├─ subnet1  172.31.1.0/24  router 172.31.1.254
│  └─ node1  172.31.0.1  fd31::1  pods 10.244.1.0/24  fd00:1::/64
│     └─ pod1  10.244.1.2  fd00:1::2
└─ subnet2  172.31.2.0/24  router 172.31.2.254
   └─ node2  172.31.0.2  fd31::2  pods 10.244.2.0/24  fd00:2::/64
      └─ pod1  10.244.2.2  fd00:2::2`,
    );
  });

  test("shows what agents warn of, also while all is well", () => {
    const text = formatReport({ ...REPORT, remarks: ["node1: conflicts"] }, PLAIN);
    expect(text).toContain("the agent of node1: conflicts\n5 of 5 probes passed, every node as desired");
  });

  test("colours change nothing but the colours", () => {
    const coloured = formatReport(BAD, createPaint(true));
    expect(coloured).toContain("\x1b[31m");
    expect(Bun.stripANSI(coloured)).toBe(formatReport(BAD, PLAIN));
  });
});

test("toJson writes addresses and networks as text", () => {
  expect(JSON.parse(JSON.stringify(toJson(REPORT)))).toMatchObject({
    ok: true,
    nodes: [{ addresses: ["172.31.0.1", "fd31::1"] }, { podCidrs: ["10.244.2.0/24", "fd00:2::/64"] }],
    subnets: [{ networks: ["172.31.0.0/24", "fd31::/64"], nodes: ["node1", "node2"] }],
  });
});
