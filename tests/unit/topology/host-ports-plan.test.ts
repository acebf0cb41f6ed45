import { describe, expect, test } from "bun:test";
import type { HostPortClaim } from "../../../src/net/host-port.ts";
import { formatPlan } from "../../../src/plan/format.ts";
import { groupsIn, planHostPorts } from "../../../src/topology/host-ports-plan.ts";
import { chainsFor, claim, linesFor, Tables } from "./host-ports-words.ts";

const GROUP = "MINICNI-DNAT-4fe38490";
const ONE = [claim(5, ["tcp 8080 80"])];
const TWO = [...ONE, claim(6, ["tcp 8081 80"])];
const RULE_81 = `-A ${GROUP} -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.7.0.6:80`;
const LOCAL_JUMP = "-m addrtype --dst-type LOCAL -j MINICNI-HOSTPORTS";
const KUBE = '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES';

function settled(claims: readonly HostPortClaim[]): Tables {
  const tables = new Tables();
  tables.settle(claims);
  return tables;
}

/** Lines of a plan without the table around them. */
const changes = (lines: readonly string[]) => lines.filter((line) => !/^(\*|COMMIT)/.test(line));

describe("planHostPorts", () => {
  test("from nothing: one restore that makes all, jumps behind what is there, the masquerade first", () => {
    const tables = new Tables();
    tables.restore(["*nat", "-A PREROUTING -j KUBE-SERVICES", "-A POSTROUTING -j RETURN", "COMMIT"]);
    const { plan, changed } = planHostPorts(chainsFor(ONE), tables.observe(), "legacy");
    expect(formatPlan(plan)).toBe(`# host ports of pods, IPv4
iptables-legacy-restore --noflush -w 10 <<'EOF'
*nat
:${GROUP} - [0:0]
-A ${GROUP} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.7.0.5:80
:MINICNI-HOSTPORTS - [0:0]
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j ${GROUP}
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
:MINICNI-HOSTPORT-SNAT - [0:0]
-A MINICNI-HOSTPORT-SNAT -m mark --mark 0x2000/0x2000 -j MASQUERADE --random-fully
-A PREROUTING ${LOCAL_JUMP}
-A OUTPUT ${LOCAL_JUMP}
-I POSTROUTING 1 -j MINICNI-HOSTPORT-SNAT
COMMIT
EOF
`);
    expect(changed).toContain(GROUP);
    tables.settle(ONE);
    expect(tables.rules("nat", "PREROUTING")).toEqual([
      "-A PREROUTING -j KUBE-SERVICES",
      `-A PREROUTING ${LOCAL_JUMP}`,
    ]);
    expect(tables.rules("nat", "POSTROUTING")[0]).toBe("-A POSTROUTING -j MINICNI-HOSTPORT-SNAT");
  });

  test("nothing to do is no step", () => {
    const tables = settled(TWO);
    expect(planHostPorts(chainsFor(TWO), tables.observe(), undefined)).toEqual({ plan: [], changed: [] });
  });

  test("one port more is one rule appended, one less one deleted", () => {
    const tables = settled(ONE);
    expect(tables.settle(TWO)).toEqual(["*nat", RULE_81, "COMMIT"]);
    expect(tables.settle(ONE)).toEqual(["*nat", RULE_81.replace("-A", "-D"), "COMMIT"]);
  });

  test("a port that leads elsewhere now is one deletion and one rule", () => {
    const tables = settled(ONE);
    expect(changes(tables.settle([claim(9, ["tcp 8080 80"])])).map((line) => line.slice(0, 2))).toEqual([
      "-D",
      "-A",
    ]);
  });

  test("the order of the ports in the kernel is not looked at", () => {
    expect(settled(TWO).settle(TWO.toReversed())).toEqual([]);
  });

  const DAMAGES: readonly (readonly [string, (tables: Tables) => void, readonly string[]])[] = [
    [
      "a flushed chain of ports",
      (tables) => tables.rules("nat", GROUP).splice(0),
      settled(TWO).rules("nat", GROUP),
    ],
    [
      "a flushed dispatching chain",
      (tables) => tables.rules("nat", "MINICNI-HOSTPORTS").splice(0),
      [":MINICNI-HOSTPORTS - [0:0]", ...settled(TWO).rules("nat", "MINICNI-HOSTPORTS")],
    ],
    ["a missing jump", (tables) => tables.rules("nat", "OUTPUT").splice(0), [`-A OUTPUT ${LOCAL_JUMP}`]],
    [
      "a missing masquerade",
      (tables) => tables.rules("nat", "POSTROUTING").splice(0),
      ["-I POSTROUTING 1 -j MINICNI-HOSTPORT-SNAT"],
    ],
    [
      "a jump that is there twice",
      (tables) => tables.rules("nat", "OUTPUT").push(`-A OUTPUT ${LOCAL_JUMP}`),
      [`-D OUTPUT ${LOCAL_JUMP}`, `-D OUTPUT ${LOCAL_JUMP}`, `-A OUTPUT ${LOCAL_JUMP}`],
    ],
    [
      "a jump for more than the node's addresses",
      (tables) => tables.rules("nat", "OUTPUT").splice(0, 1, "-A OUTPUT -j MINICNI-HOSTPORTS"),
      ["-D OUTPUT -j MINICNI-HOSTPORTS", `-A OUTPUT ${LOCAL_JUMP}`],
    ],
    [
      "somebody's rule among the ports",
      (tables) => tables.rules("nat", GROUP).push(`-A ${GROUP} -j RETURN`),
      [`-D ${GROUP} -j RETURN`],
    ],
    [
      "a port that is there twice",
      (tables) => tables.rules("nat", GROUP).push(RULE_81),
      [RULE_81.replace("-A", "-D")],
    ],
  ];
  test.each(DAMAGES)("%s is all that is put right", (_, damage, expected) => {
    const tables = settled(TWO);
    damage(tables);
    expect(changes(tables.settle(TWO))).toEqual([...expected]);
    expect(tables.settle(TWO)).toEqual([]);
  });

  test("the last claim takes all, and leaves what is somebody else's", () => {
    const tables = new Tables();
    tables.rules("nat", "PREROUTING").push(KUBE);
    tables.settle([...TWO, claim(7, ["tcp 90 90"], { localhost: true })]);
    expect(tables.own("raw")).toEqual(["MINICNI-LOCALNET"]);
    tables.settle([]);
    expect([...tables.own("nat"), ...tables.own("raw")]).toEqual([]);
    expect(tables.observe().bases).toEqual(
      new Map([
        ["nat PREROUTING", [KUBE]],
        ["nat OUTPUT", []],
        ["nat POSTROUTING", []],
        ["raw PREROUTING", []],
      ]),
    );
  });

  test("a chain of a group that is no more goes, whoever it was", () => {
    const tables = settled(ONE);
    tables.restore([
      "*nat",
      ":MINICNI-DNAT-00000000 - [0:0]",
      "-A MINICNI-DNAT-00000000 -j RETURN",
      "COMMIT",
    ]);
    expect(changes(tables.settle(ONE))).toEqual([
      ":MINICNI-DNAT-00000000 - [0:0]",
      "-X MINICNI-DNAT-00000000",
    ]);
  });

  test("a table that was not looked at is left alone", () => {
    const { chains, bases } = new Tables().observe();
    const lines = linesFor(chainsFor([claim(5, ["tcp 80 80"], { localhost: true })]), {
      tables: ["nat"],
      chains,
      bases,
    });
    expect(lines).toContain("*nat");
    expect(lines).not.toContain("*raw");
  });

  test("conditions: other ports, as many as before, are a chain made anew", () => {
    const conditions = { 4: ["-i", "up0"], 6: [] };
    const tables = settled([claim(5, ["tcp 80 80"], { conditions })]);
    tables.settle([claim(6, ["tcp 81 80"], { conditions })]);
    const [group = ""] = groupsIn(tables.rules("nat", "MINICNI-HOSTPORTS"));
    expect(tables.rules("nat", group)).toEqual([
      `-A ${group} -p tcp -m tcp --dport 81 -i up0 -j DNAT --to-destination 10.7.0.6:80`,
    ]);
  });

  test("conditions in the kernel's own words are no difference", () => {
    const wish = [claim(5, ["tcp 80 80"], { conditions: { 4: ["-i", "up0"], 6: [] } })];
    const tables = settled(wish);
    const [group = ""] = groupsIn(tables.rules("nat", "MINICNI-HOSTPORTS"));
    tables.rules("nat", group).splice(0, 1, `-A ${group} -i up0 -p tcp -m tcp --dport 80 -j DNAT`);
    expect(tables.settle(wish)).toEqual([]);
    tables.rules("nat", group).splice(0);
    expect(tables.settle(wish)).toContain(`:${group} - [0:0]`);
  });
});
