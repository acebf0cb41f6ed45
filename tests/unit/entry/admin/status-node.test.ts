import { describe, expect, test } from "bun:test";
import { judgeNode } from "../../../../src/entry/admin/status/judge.ts";
import { formatNode } from "../../../../src/entry/admin/status/node.ts";
import { printable } from "../../../../src/entry/admin/status/printable.ts";
import type { SeenNode } from "../../../../src/entry/admin/status/seen.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";
import { widthOf } from "../../../../src/entry/output/text.ts";
import { ago, faulty, report, seen } from "./status-sample.ts";

const show = (node: SeenNode, width: number | null, isColoured = false) =>
  formatNode(node, judgeNode(node), { width, paint: createPaint(isColoured) });

describe("the text", () => {
  test("of a healthy node", () => {
    expect(show(seen(), 100)).toMatchInlineSnapshot(`
      "node n1

      agent        running for 2 h 5 min (minicni 0.1.0, pid 4711)
      Nodes        3 from in-cluster ServiceAccount, heard 12 s ago
      ready        yes (nodes, routes, rules, published)
      last sync    4 s ago
      pod CIDRs    10.244.1.0/24
      MTU          1450
      devices      minicni0 (MTU 1450), minicni.vxlan (MTU 1450)
      backend      auto: 1 direct, 1 by tunnel, 0 not reached
      peers        2 of 2 as they should be
      routes       IPv4 2 of 2, IPv6 0 of 0
      rules        iptables-nft, as desired
      addresses    █████░░░░░░░░░░░░░░░ 25 %: 63 used, 190 free of minicni 10.244.1.1-10.244.1.254
      attachments  63 (minicni 63)
      repairs      3 min 20 s ago, route (kernel): ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0
                   proto 157

      all well
      "
    `);
  });

  test("of a node with faults, 100 columns wide", () => {
    expect(show(faulty(), 100)).toMatchInlineSnapshot(`
      "node n1

      agent      running for 2 h 5 min (minicni 0.1.0, pid 4711)
      Nodes      3 from in-cluster ServiceAccount, heard 12 s ago; 1 left out
      ready      no: routes
      last sync  4 s ago
      pod CIDRs  10.244.1.0/24
      MTU        1450
      devices    minicni0 (MTU 1450), minicni.vxlan (MTU 1450)
      backend    auto: 1 direct, 0 by tunnel, 1 not reached
      peers      0 of 2 as they should be
      routes     IPv4 1 of 2
      conflicts  1 route of others
      rules      iptables-nft, as desired; 1 warning
      addresses  ████████████████████ 100 %: 253 used, 0 free of minicni 10.244.1.1-10.244.1.254
      repairs    3 min 20 s ago, route (kernel): ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0
                 proto 157

      wrong (6)
        Nodes: left out: n9 has no pod CIDR
        peer n2: 10.244.2.0/24: a route of protocol 4 by eth0 is in the way; remove it: ip route del
          10.244.2.0/24
        peer n3: its InternalIP 10.8.0.3 is unreachable
        rules: chain filter_FORWARD drops what pods send
        readiness routes: steps failed: \`ip route …\`: no
        addresses: minicni 10.244.1.1-10.244.1.254 has no free address: no pod can start

      not seen, run as root (1)
        attachments: EACCES: permission denied, scandir '/run/minicni/attachments'

      6 things wrong; why, and what to do: minicni doctor
      "
    `);
  });

  test("of a node with faults, on a narrow terminal", () => {
    expect(show(faulty(), 40)).toMatchInlineSnapshot(`
      "node n1

      agent      running for 2 h 5 min
                 (minicni 0.1.0, pid 4711)
      Nodes      3 from in-cluster
                 ServiceAccount, heard 12 s
                 ago; 1 left out
      ready      no: routes
      last sync  4 s ago
      pod CIDRs  10.244.1.0/24
      MTU        1450
      devices    minicni0 (MTU 1450),
                 minicni.vxlan (MTU 1450)
      backend    auto: 1 direct, 0 by tunnel,
                 1 not reached
      peers      0 of 2 as they should be
      routes     IPv4 1 of 2
      conflicts  1 route of others
      rules      iptables-nft, as desired; 1
                 warning
      addresses  ████████████████████ 100 %:
                 253 used, 0 free of minicni
                 10.244.1.1-10.244.1.254
      repairs    3 min 20 s ago, route
                 (kernel): ip route replace
                 10.244.2.0/24 via 10.9.0.2
                 dev eth0 proto 157

      wrong (6)
        Nodes: left out: n9 has no pod CIDR
        peer n2: 10.244.2.0/24: a route of
          protocol 4 by eth0 is in the way;
          remove it: ip route del
          10.244.2.0/24
        peer n3: its InternalIP 10.8.0.3 is
          unreachable
        rules: chain filter_FORWARD drops
          what pods send
        readiness routes: steps failed: \`ip
          route …\`: no
        addresses: minicni
          10.244.1.1-10.244.1.254 has no free
          address: no pod can start

      not seen, run as root (1)
        attachments: EACCES: permission
          denied, scandir
          '/run/minicni/attachments'

      6 things wrong; why, and what to do:
      minicni doctor
      "
    `);
  });

  test("of a node with faults, in a pipe", () => {
    expect(show(faulty(), null)).toMatchInlineSnapshot(`
      "node n1

      agent      running for 2 h 5 min (minicni 0.1.0, pid 4711)
      Nodes      3 from in-cluster ServiceAccount, heard 12 s ago; 1 left out
      ready      no: routes
      last sync  4 s ago
      pod CIDRs  10.244.1.0/24
      MTU        1450
      devices    minicni0 (MTU 1450), minicni.vxlan (MTU 1450)
      backend    auto: 1 direct, 0 by tunnel, 1 not reached
      peers      0 of 2 as they should be
      routes     IPv4 1 of 2
      conflicts  1 route of others
      rules      iptables-nft, as desired; 1 warning
      addresses  ████████████████████ 100 %: 253 used, 0 free of minicni 10.244.1.1-10.244.1.254
      repairs    3 min 20 s ago, route (kernel): ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157

      wrong (6)
        Nodes: left out: n9 has no pod CIDR
        peer n2: 10.244.2.0/24: a route of protocol 4 by eth0 is in the way; remove it: ip route del 10.244.2.0/24
        peer n3: its InternalIP 10.8.0.3 is unreachable
        rules: chain filter_FORWARD drops what pods send
        readiness routes: steps failed: \`ip route …\`: no
        addresses: minicni 10.244.1.1-10.244.1.254 has no free address: no pod can start

      not seen, run as root (1)
        attachments: EACCES: permission denied, scandir '/run/minicni/attachments'

      6 things wrong; why, and what to do: minicni doctor
      "
    `);
  });

  test("is as wide with colours as without, and says the same", () => {
    const coloured = show(faulty(), 100, true);
    expect(coloured).toContain("\x1b[31m");
    expect(Bun.stripANSI(coloured)).toBe(show(faulty(), 100));
    for (const line of coloured.split("\n")) expect(widthOf(line)).toBeLessThanOrEqual(100);
  });

  test("of an agent that has just begun", () => {
    const { nodes } = report();
    const begun = report({
      ...{ startedAt: ago(1), peers: [], routes: [], tunnels: [], podCidrs: [], repairs: [] },
      ...{ lastSyncAt: null, mtu: 0, rules: { variant: null, faults: [], warnings: [] } },
      nodes: { ...nodes, isLive: false, heardAt: null, known: 0 },
      readiness: ["nodes", "routes"].map((name) => ({ name, fault: "not yet", warning: null })),
    });
    const node = seen({ report: begun, published: null, links: [], ranges: [], attachments: [] });
    expect(show(node, 100)).toMatchInlineSnapshot(`
      "node n1

      agent        running for 1 s (minicni 0.1.0, pid 4711)
      Nodes        none yet from in-cluster ServiceAccount
      ready        no: nodes, routes
      last sync    none yet
      devices      none of ours
      backend      auto: 0 direct, 0 by tunnel, 0 not reached
      peers        0 of 0 as they should be
      routes       none yet
      rules        not looked at yet
      attachments  0

      wrong (2)
        pods: nothing is published yet: no pod can start here by the agent's pod CIDRs
        readiness: not yet: nodes, routes

      2 things wrong; why, and what to do: minicni doctor
      "
    `);
  });

  test("holds nothing that a terminal would obey", () => {
    const nodes = { ...report().nodes, faulty: [{ node: "a\x1b[2J", message: "b\u202ec\nd" }] };
    const node = printable(seen({ report: report({ nodes }) }));
    expect(show(node, null)).toContain("  Nodes: left out: a [2J b c d\n");
  });
});
