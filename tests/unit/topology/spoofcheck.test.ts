import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import {
  checkedPorts,
  hasSpoofRule,
  planDropSpoofTable,
  planNoSpoofCheck,
  planSpoofCheck,
  spoofTable,
} from "../../../src/topology/spoofcheck.ts";

const PORT = { hostVeth: "mcni63935ca0bad", mac: "0a:58:0a:01:00:02" };
const TABLE = "minicni_spoof_0b51ffc2";

const block = (name: string, type: string, elements: readonly string[]) => {
  const list = elements.length === 0 ? "" : `\t\telements = { ${elements.join(",\n\t\t\t     ")} }\n`;
  return `\tset ${name} {\n\t\ttype ${type}\n${list}\t}\n\n`;
};
const RULE = "\t\tiifname @checked iifname . ether saddr != @allowed drop\n";

/** As `nft list table bridge …` prints it. */
const listed = (checked: readonly string[], allowed: readonly string[], rule = RULE) =>
  `table bridge ${TABLE} {\n${block("checked", "ifname", checked)}${block("allowed", "ifname . ether_addr", allowed)}` +
  `\tchain prerouting {\n\t\ttype filter hook prerouting priority dstnat; policy accept;\n${rule}\t}\n}\n`;

const names = ["mcni01234567891", PORT.hostVeth, "mcni01234567893"];
const checked = names.map((name) => `"${name}"`);
const allowed = names.map((name) => `"${name}" . ${PORT.mac}`);

test("planSpoofCheck makes what is missing, whole, and never the rule twice", () => {
  expect(formatPlan(planSpoofCheck("pods", PORT))).toBe(`# frames with a foreign source MAC are dropped
nft -f - <<'EOF'
add table bridge ${TABLE}
add set bridge ${TABLE} checked { type ifname; }
add set bridge ${TABLE} allowed { type ifname . ether_addr; }
add chain bridge ${TABLE} prerouting { type filter hook prerouting priority -300; policy accept; }
flush chain bridge ${TABLE} prerouting
add rule bridge ${TABLE} prerouting iifname @checked iifname . ether saddr != @allowed drop
add element bridge ${TABLE} checked { "mcni63935ca0bad" }
add element bridge ${TABLE} allowed { "mcni63935ca0bad" . 0a:58:0a:01:00:02 }
EOF
`);
});

test("planNoSpoofCheck removes the elements, there or not, whole", () => {
  expect(formatPlan(planNoSpoofCheck("pods", PORT))).toBe(`# the port is gone
nft -f - <<'EOF'
add table bridge ${TABLE}
add set bridge ${TABLE} checked { type ifname; }
add set bridge ${TABLE} allowed { type ifname . ether_addr; }
add element bridge ${TABLE} checked { "mcni63935ca0bad" }
add element bridge ${TABLE} allowed { "mcni63935ca0bad" . 0a:58:0a:01:00:02 }
delete element bridge ${TABLE} checked { "mcni63935ca0bad" }
delete element bridge ${TABLE} allowed { "mcni63935ca0bad" . 0a:58:0a:01:00:02 }
EOF
`);
});

test("planSpoofCheck is taken back by what planNoSpoofCheck does", () => {
  const undone = planSpoofCheck("pods", PORT).flatMap(({ undo }) => undo ?? []);
  const removed = planNoSpoofCheck("pods", PORT).flatMap((step) =>
    step.op === "rules.nft" ? step.lines : [],
  );
  expect(undone).toEqual([{ op: "rules.nft", lines: removed }]);
});

test("planDropSpoofTable removes the table, there or not", () => {
  expect(formatPlan(planDropSpoofTable("pods"))).toBe(`# network pods has no attachment left
nft -f - <<'EOF'
add table bridge ${TABLE}
delete table bridge ${TABLE}
EOF
`);
});

test("spoofTable is one for each network, with our mark", () => {
  expect(spoofTable("pods")).toBe(TABLE);
  expect(spoofTable("pods2")).not.toBe(TABLE);
});

describe("checkedPorts", () => {
  test("names every port and its MAC, over all lines of the list", () => {
    expect(checkedPorts(listed(checked, allowed))).toEqual(
      names.map((hostVeth) => ({ hostVeth, mac: PORT.mac })),
    );
  });

  test("names a port with two MACs twice", () => {
    const twice = [`"a" . 0a:58:00:00:00:01`, `"a" . 0a:58:00:00:00:02`];
    expect(checkedPorts(listed([`"a"`], twice))).toHaveLength(2);
  });

  test.each(["", listed([], []), listed(checked, [])])("finds none where none is allowed", (text) => {
    expect(checkedPorts(text)).toEqual([]);
  });
});

describe("hasSpoofRule", () => {
  test("knows port and MAC as nft lists them", () => {
    const text = listed(checked, allowed);
    expect(hasSpoofRule(text, PORT.hostVeth, PORT.mac)).toBe(true);
    expect(hasSpoofRule(text, PORT.hostVeth, PORT.mac.toUpperCase())).toBe(true);
    expect(hasSpoofRule(listed(checked.slice(1, 2), allowed.slice(1, 2)), PORT.hostVeth, PORT.mac)).toBe(
      true,
    );
  });

  const { hostVeth, mac } = PORT;
  test.each([
    ["there is no table", ""],
    ["nothing is checked", listed([], allowed)],
    ["another port is checked", listed(checked.slice(0, 1), allowed)],
    ["nothing is allowed", listed(checked, [])],
    ["another port is allowed", listed(checked, allowed.slice(0, 1))],
    ["another MAC is allowed", listed(checked, [`"${hostVeth}" . 0a:58:00:00:00:09`])],
    ["another MAC is allowed too", listed(checked, [...allowed, `"${hostVeth}" . 0a:58:00:00:00:09`])],
    ["the rule is gone", listed(checked, allowed, "")],
    ["the rule is another one", listed(checked, allowed, RULE.replace("drop", "accept"))],
  ])("is false when %s", (_when, text) => expect(hasSpoofRule(text, hostVeth, mac)).toBe(false));
});
