import { describe, expect, test } from "bun:test";
import { findCauses } from "../../../../src/entry/admin/connectivity/causes.ts";
import type { ConnectivityReport } from "../../../../src/entry/admin/connectivity/report.ts";
import { formatConnectivity } from "../../../../src/entry/admin/connectivity/text.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";
import { probeOf } from "./connectivity-sample.ts";

const PLAIN = { width: null, paint: createPaint(false) };
const REPORT: ConnectivityReport = {
  minicni: "1.0.0",
  node: "n1",
  source: "file /nodes.json",
  peers: { known: 1, probed: ["n2"] },
  mtu: 1450,
  pod: { containerId: "minicni-probe-0123abcd", addresses: ["10.244.1.2"] },
  podFault: null,
  notAsked: null,
  notes: [],
  probes: [
    probeOf({}),
    probeOf({ from: "pod", to: "tunnel", address: "10.244.2.0", fullBytes: 1450, rttMs: 12.345 }),
    probeOf({ from: "pod", to: "own", peer: null, address: "10.9.0.1", fullBytes: 1450 }),
  ],
  findings: [],
};

describe("connectivity as text", () => {
  test("all well", () => {
    expect(formatConnectivity(REPORT, PLAIN)).toBe(`node   n1
peers  1
pod    minicni-probe-0123abcd, 10.244.1.2, MTU 1450

from → to        address     result  small        ms  full size
node → n2        10.9.0.2    ok      answered   0.25  1500 answered
pod → n2 tunnel  10.244.2.0  ok      answered  12.35  1450 answered
pod → this node  10.9.0.1    ok      answered   0.25  1450 answered

3 probes: 3 ok; all well
`);
  });

  test("what is lost comes first, with its cause and what to do", () => {
    const probes = [
      ...REPORT.probes,
      probeOf({ address: "10.9.0.3", peer: "n3", status: "cut", full: "too big", fits: 1400 }),
      probeOf({ from: "pod", to: "pod", address: "10.244.2.7", way: "tunnel", status: "lost" }),
      probeOf({
        from: "pod",
        to: "gateway",
        address: "10.244.4.1",
        peer: "n4",
        status: "absent",
        full: null,
      }),
    ].filter(({ to }) => to !== "tunnel");
    const findings = findCauses(probes, { mtu: 1450, vxlanPort: 8472, links: [] });
    const text = formatConnectivity(
      {
        ...REPORT,
        probes,
        findings,
        peers: { known: 40, probed: ["n2", "n3", "n4"] },
        notAsked: "not known",
      },
      PLAIN,
    );
    expect(text).toBe(`node         n1
peers        3 of 40 (--peers all: every one)
pod          minicni-probe-0123abcd, 10.244.1.2, MTU 1450
peers' pods  not known

n2 (IPv4): n2 answers, its pods do not: the tunnel (UDP port 8472) is dropped on the way or on n2
  pod → 10.244.2.7: small packet silent
  what to do: allow UDP port 8472 between all nodes, both ways (firewall, security group)
  what to do: minicni status, on n2: does its agent run?

n3 (IPv4): small packets arrive, full ones that nobody may cut do not: a link between the nodes takes less than its ends say; 1400 bytes fit
  node → 10.9.0.3: small packet answered, 1500 bytes too big (1400 fit)
  what to do: give every link on the way the MTU that its ends have, or set MINICNI_MTU to what fits (pods have 1450)
  what to do: minicni doctor --only B5

from → to         address     result  small       ms  full size
node → n3         10.9.0.3    CUT     answered  0.25  1500 too big, 1400 fit
pod → n2 pod      10.244.2.7  LOST    silent
node → n2         10.9.0.2    ok      answered  0.25  1500 answered
pod → this node   10.9.0.1    ok      answered  0.25  1450 answered
pod → n4 gateway  10.244.4.1  absent  answered  0.25

5 probes: 2 ok, 1 lost, 1 only with small packets, 1 absent (the gateway address comes with a node's first pod); not all well
`);
  });

  test("no pod, no peers", () => {
    const none = { known: 0, probed: [] };
    const text = formatConnectivity(
      {
        ...REPORT,
        peers: none,
        source: null,
        node: null,
        pod: null,
        podFault: "the ADD failed: code 11",
        probes: [],
      },
      PLAIN,
    );
    expect(text).toBe(`node   its name is not known (--node NAME)
peers  none known: there is no list of Nodes (--nodes FILE, --kubeconfig FILE)

a pod can't be attached on this node
  the ADD failed: code 11
  what to do: minicni trace; minicni doctor

0 probes: 0 ok; not all well
`);
  });
});
