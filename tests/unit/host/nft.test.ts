import { describe, expect, test } from "bun:test";
import { observeNftTable, observeNftTables } from "../../../src/host/nft.ts";

/** nft that answers each command line with a list of objects, or with text as it is. */
function answering(answers: Readonly<Record<string, readonly unknown[] | string>>) {
  return {
    spawn: ({ argv }: { readonly argv: readonly string[] }) => {
      const found = answers[argv.slice(1).join(" ")];
      const stdout = typeof found === "string" ? found : JSON.stringify({ nftables: found });
      const exitCode = found === undefined ? 1 : 0;
      return Promise.resolve({ exitCode, stdout, stderr: "Error: no", timedOut: false });
    },
  };
}

const TABLE = { family: "inet", name: "t" } as const;

/** The statements of one rule. */
async function statements(...expr: readonly unknown[]) {
  const items = [
    { chain: { name: "c", type: "filter", hook: "forward", policy: "drop" } },
    { rule: { chain: "c", handle: 7, expr } },
  ];
  const { chains } = await observeNftTable(answering({ "-j -t list table inet t": items }), TABLE);
  expect(chains).toHaveLength(1);
  expect(chains[0]).toMatchObject({ name: "c", hook: "forward", policy: "drop" });
  return chains[0]?.rules[0]?.statements ?? [];
}

describe("a rule", () => {
  const iifname = { meta: { key: "iifname" } };

  test("with words, and a verdict", async () => {
    const match = { match: { op: "!=", left: iifname, right: { set: ["a", "b"] } } };
    expect(
      await statements(match, { counter: null }, { reject: { type: "icmpx", expr: "no-route" } }),
    ).toMatchObject([
      { kind: "if", condition: { term: "iifname", isNegated: true, values: [{ word: "a" }, { word: "b" }] } },
      { kind: "verdict", verdict: { kind: "continue" } },
      { kind: "verdict", verdict: { kind: "drop", text: "reject with icmpx no-route" } },
    ]);
  });

  test("with a verdict map", async () => {
    const set = [["new", { jump: { target: "x" } }]];
    expect(await statements({ vmap: { key: { ct: { key: "state" } }, data: { set } } })).toMatchObject([
      { kind: "map", choices: [{ condition: { term: "ct state" }, verdict: { kind: "jump", chain: "x" } }] },
    ]);
  });

  test("of iptables-nft, as far as it has words of its own", async () => {
    const xt = (type: string, name: string) => ({ xt: { type, name } });
    expect(await statements(xt("match", "conntrack"), xt("target", "REJECT"))).toMatchObject([
      { kind: "if", condition: { term: null } },
      { kind: "verdict", verdict: { kind: "drop", text: "REJECT" } },
    ]);
  });

  test.each([["@pods"], [{ range: ["10.0.0.1", "10.0.0.9"] }], [{ set: ["10.0.0.1", "@pods"] }]])(
    "with values that are not known: %j",
    async (right) => {
      const left = { payload: { protocol: "ip", field: "saddr" } };
      expect(await statements({ match: { op: "==", left, right } })).toMatchObject([
        { kind: "if", condition: { term: "saddr", family: 4, values: null } },
      ]);
    },
  );

  test.each([
    [{ xt: null }],
    [{ xt: { type: "target", name: "NFQUEUE" } }],
    [{ queue: { num: 1 } }],
    [{ vmap: { key: iifname, data: "@m" } }],
    ["notes"],
    [null],
  ])("that may do anything: %j", async (statement) => {
    expect(await statements(statement)).toEqual([{ kind: "verdict", verdict: { kind: "unknown" } }]);
  });
});

test("tables that sleep are left out, whatever nft makes of their flags", async () => {
  const flags = "inet";
  const answers = {
    "-j list tables": [
      { metainfo: {} },
      { table: { family: "ip6", name: "a" } },
      { table: { family: "inet", name: "asleep", flags } },
      { table: { family: "inet", name: "owned", flags } },
      { table: { family: "netdev", name: "b" } },
    ],
    "-t list table inet asleep": "table inet asleep {\n\tflags dormant\n}\n",
    "-t list table inet owned": "table inet owned { # progname x\n\tflags owner\n}\n",
  };
  expect(await observeNftTables(answering(answers))).toEqual([
    { family: "ip6", name: "a" },
    { family: "inet", name: "owned" },
  ]);
});

test("what is no answer is a HostError that names the command", () => {
  const refused = "`nft -j list tables` failed: ";
  expect(observeNftTables(answering({}))).rejects.toThrow(`${refused}Error: no`);
  expect(observeNftTables(answering({ "-j list tables": "{" }))).rejects.toThrow(`${refused}its output`);
});
