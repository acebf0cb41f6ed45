import { describe, expect, test } from "bun:test";
import { chooseAskingPort } from "../../../../src/entry/admin/status/ask.ts";
import { type ClusterView, describeCluster } from "../../../../src/entry/admin/status/cluster.ts";
import { type ClusterWords, formatCluster } from "../../../../src/entry/admin/status/cluster-text.ts";
import type { ReadReport } from "../../../../src/entry/agent/report.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";
import { ago, cluster, report } from "./status-sample.ts";

const WAYS = new Map([
  ["10.244.2.0/24", "direct"],
  ["10.244.3.0/24", "tunnel"],
] as const);
const answer = (more: Parameters<typeof report>[0] = {}) => ({ report: report(more), fault: null });

function view(more: Partial<ClusterView> = {}): ClusterView {
  const answers = new Map([["n1", answer()]]);
  return { cluster: cluster(), self: "n1", report: report(), destinations: WAYS, answers, ...more };
}

const WORDS: ClusterWords = {
  ...{ source: "kubeconfig /root/.kube/config", isLive: true, fault: null, notAsked: null },
  isFaultyOnly: false,
};

/** A cluster in which much is wrong: n2 answers and has faults, n3 does not answer. */
function sick(): ClusterView {
  const [n2, n3] = report().peers;
  const peers = [n2, n3].flatMap((peer) =>
    peer === undefined ? [] : [{ ...peer, fault: peer.name === "n3" ? "is unreachable" : null }],
  );
  const routes = [{ family: 4 as const, desired: 2, programmed: 1 }];
  return view({
    cluster: cluster([
      { name: "n1", ready: "True" },
      { name: "n2", ready: "True", networkUnavailable: "True" },
      { name: "n3", ready: "Unknown" },
      { name: "n10", ready: "False" },
    ]),
    report: report({ peers }),
    destinations: new Map([["10.244.2.0/24", "direct"]]),
    answers: new Map<string, ReadReport>([
      ["n1", answer({ peers })],
      ["n2", answer({ minicni: "0.2.0", lastSyncAt: ago(900), routes })],
      ["n3", { report: null, fault: "10.8.0.3:9157 no answer within 2 s" }],
    ]),
  });
}

const show = (
  from: ClusterView,
  width: number | null,
  words: Partial<ClusterWords> = {},
  isColoured = false,
) => formatCluster(describeCluster(from), { ...WORDS, ...words }, { width, paint: createPaint(isColoured) });

describe("the text", () => {
  test("of a cluster that is well but for a Node that is left out", () => {
    expect(show(view(), 120)).toMatchInlineSnapshot(`
      "NODE  ADDRESS   POD CIDRS      PATH    ROUTE  READY  AGENT      ROUTES  SYNC  WRONG
      n1    10.9.0.1  10.244.1.0/24  self                  0.1.0         2/2   1 s
      n2    10.9.0.2  10.244.2.0/24  direct    1/1         not asked
      n3    10.8.0.3  10.244.3.0/24  tunnel    1/1         not asked
      n10                                                  not asked                    1

      wrong (1)
        n10: left out: has no pod CIDR

      Nodes from kubeconfig /root/.kube/config
      4 Nodes, something wrong with 1; from here 1 direct, 1 by tunnel, 0 not reached; 1 of 1 agent answered (1 × 0.1.0)
      "
    `);
  });

  test("of a sick cluster, 100 columns wide", () => {
    expect(show(sick(), 100)).toMatchInlineSnapshot(`
      "NODE  ADDRESS   POD CIDRS      PATH    ROUTE  READY  AGENT      ROUTES         SYNC  WRONG
      n1    10.9.0.1  10.244.1.0/24  self           yes    0.1.0         2/2          1 s
      n2    10.9.0.2  10.244.2.0/24  direct    1/1  yes    0.2.0         1/2  14 min 57 s      3
      n3    10.8.0.3  10.244.3.0/24  tunnel    0/1  ?      no answer                           3
      n10                                           no     not asked                           2

      wrong (8)
        n2: NetworkUnavailable=True keeps pods away: MINICNI_NODE_CONDITION=true sets it right
        n2: its last sync was 14 min 57 s ago
        n2: it says: routes: IPv4: 1 of 2 are there
        n3: its kubelet does not say whether it is Ready: is the node down?
        n3: from here: is unreachable
        n3: its agent: 10.8.0.3:9157 no answer within 2 s
        n10: left out: has no pod CIDR
        n10: its kubelet says that it is not Ready

      Nodes from kubeconfig /root/.kube/config
      4 Nodes, something wrong with 3; from here 1 direct, 1 by tunnel, 0 not reached; 2 of 3 agents
      answered (1 × 0.1.0, 1 × 0.2.0)
      "
    `);
  });

  test("of a sick cluster, on a narrow terminal", () => {
    expect(show(sick(), 40)).toMatchInlineSnapshot(`
      "n1
        ADDRESS: 10.9.0.1
        POD CIDRS: 10.244.1.0/24
        PATH: self
        READY: yes
        AGENT: 0.1.0
        ROUTES: 2/2
        SYNC: 1 s
      n2
        ADDRESS: 10.9.0.2
        POD CIDRS: 10.244.2.0/24
        PATH: direct
        ROUTE: 1/1
        READY: yes
        AGENT: 0.2.0
        ROUTES: 1/2
        SYNC: 14 min 57 s
        WRONG: 3
      n3
        ADDRESS: 10.8.0.3
        POD CIDRS: 10.244.3.0/24
        PATH: tunnel
        ROUTE: 0/1
        READY: ?
        AGENT: no answer
        WRONG: 3
      n10
        READY: no
        AGENT: not asked
        WRONG: 2

      wrong (8)
        n2: NetworkUnavailable=True keeps
          pods away:
          MINICNI_NODE_CONDITION=true sets it
          right
        n2: its last sync was 14 min 57 s
          ago
        n2: it says: routes: IPv4: 1 of 2
          are there
        n3: its kubelet does not say whether
          it is Ready: is the node down?
        n3: from here: is unreachable
        n3: its agent: 10.8.0.3:9157 no
          answer within 2 s
        n10: left out: has no pod CIDR
        n10: its kubelet says that it is not
          Ready

      Nodes from kubeconfig /root/.kube/config
      4 Nodes, something wrong with 3; from
      here 1 direct, 1 by tunnel, 0 not
      reached; 2 of 3 agents answered (1 ×
      0.1.0, 1 × 0.2.0)
      "
    `);
  });

  test("of what is wrong alone, in a pipe, where agents were not asked", () => {
    const words = { isFaultyOnly: true, isLive: false, notAsked: "agents listen nowhere" };
    expect(show(view({ answers: new Map() }), null, words)).toMatchInlineSnapshot(`
      "NODE  ADDRESS  POD CIDRS  PATH  ROUTE  READY  AGENT      ROUTES  SYNC  WRONG
      n10                                           not asked                    1

      wrong (1)
        n10: left out: has no pod CIDR

      Nodes from kubeconfig /root/.kube/config, which may be old
      agents of other nodes were not asked: agents listen nowhere
      4 Nodes, something wrong with 1; from here 1 direct, 1 by tunnel, 0 not reached
      "
    `);
  });

  test("says the same with colours", () => {
    const coloured = show(sick(), 120, {}, true);
    expect(coloured).toContain("\x1b[31m");
    expect(Bun.stripANSI(coloured)).toBe(show(sick(), 120));
  });

  test("of a cluster in which nothing is wrong is short when only that is asked for", () => {
    const { snapshot, ...rest } = cluster();
    const well = view({ cluster: { ...rest, snapshot: { nodes: snapshot?.nodes ?? [], faults: [] } } });
    expect(show(well, null, { isFaultyOnly: true })).toBe(
      "Nodes from kubeconfig /root/.kube/config\n3 Nodes, nothing wrong; from here 1 direct, 1 by tunnel, 0 not reached; 1 of 1 agent answered (1 × 0.1.0)\n",
    );
  });
});

describe("a row", () => {
  test("goes by the kernel's routes where no agent tells the way", () => {
    const rows = describeCluster(
      view({ report: null, destinations: new Map([["10.244.3.0/24", "tunnel"]]) }),
    );
    expect(rows.map(({ path }) => path)).toEqual(["self", "none", "tunnel", null]);
    expect(rows[1]?.wrong).toEqual(["no route from here to 10.244.2.0/24"]);
  });

  test("says nothing of routes that can't be seen", () => {
    const rows = describeCluster(view({ report: null, destinations: null, answers: new Map() }));
    expect(rows.map(({ path, routes, wrong }) => [path, routes, wrong.length])).toEqual([
      ["self", null, 0],
      [null, null, 0],
      [null, null, 0],
      [null, null, 1],
    ]);
  });

  test("is there for each of thousands of Nodes, by name as people count", () => {
    const { snapshot } = cluster();
    const [first] = snapshot?.nodes ?? [];
    if (first === undefined) throw new Error("no Node");
    const nodes = Array.from({ length: 5_000 }, (_, index) => ({ ...first, name: `n${index}` }));
    const rows = describeCluster(view({ cluster: { ...cluster(), snapshot: { nodes, faults: [] } } }));
    expect([rows.length, rows[2]?.name, rows[10]?.name]).toEqual([5_000, "n2", "n10"]);
  });
});

test.each([
  [9000, "127.0.0.1:9157", 9000],
  [null, ":9157", 9157],
  [null, "10.9.0.1:9200", 9200],
  [null, "[fd09::1]:9157", 9157],
  [null, "127.0.0.1:9157", /can't reach: set MINICNI_LISTEN=:9157/],
  [null, "127.9.9.9:9157", /can't reach/],
  [null, "[::1]:9157", /can't reach/],
  [null, "", /agents listen nowhere: set MINICNI_LISTEN=:9157/],
  [null, null, /not known without one here; name their port: --port 9157/],
])("with --port %p and an agent on %p it asks %p", (given, listen, expected) => {
  const { port, why } = chooseAskingPort(given, listen);
  if (typeof expected === "number") expect(port).toBe(expected);
  else expect(why).toMatch(expected);
});
