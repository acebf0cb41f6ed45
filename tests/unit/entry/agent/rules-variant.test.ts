import { beforeEach, describe, expect, test } from "bun:test";
import { createRules, type Rules } from "../../../../src/entry/agent/rules.ts";
import { HostError } from "../../../../src/host/errors.ts";
import type { NodeRulesWish } from "../../../../src/topology/node-rules.ts";
import { FakeIptables } from "../../../twin/iptables.ts";
import { createFakeMachine, type FakeMachine } from "../../../twin/machine.ts";
import { prefix } from "../../../twin/words.ts";

const WISH: NodeRulesWish = {
  podCidrs: [prefix("10.244.1.0/24")],
  clusterCidrs: [prefix("10.244.0.0/16")],
  nodeAddresses: [],
  nonMasqueradeCidrs: [],
  masquerade: true,
  masqueradeNodes: false,
  randomFully: true,
};

const DUAL: NodeRulesWish = { ...WISH, podCidrs: [...WISH.podCidrs, prefix("fd00:1::/64")] };

let machine: FakeMachine;
let tables: FakeIptables;
let clockMs: number;
let rules: Rules;

beforeEach(() => {
  machine = createFakeMachine("/nowhere");
  tables = new FakeIptables();
  clockMs = 0;
  for (const file of ["ip_tables_names", "ip6_tables_names"])
    machine.files.set(`/proc/net/${file}`, "mangle\nnat\nfilter\n");
  machine.answer = (request) => tables.answer(request);
  const execute = machine.execute;
  const host = Object.assign(machine, {
    execute: async (plan: Parameters<typeof execute>[0]) => {
      await execute(plan);
      tables.execute(plan);
    },
  });
  rules = createRules(host, () => clockMs);
});

const kube = (place: string) => tables.chains(place, "mangle").set("KUBE-KUBELET-CANARY", []);
/** Where anything of ours is. */
const places = () =>
  tables.tables().filter((key) => {
    const [family = "", variant = "", table = ""] = key.split(" ");
    return [...tables.chains(`${family} ${variant}`, table).keys()].some((name) =>
      name.startsWith("MINICNI"),
    );
  });

describe("the variant", () => {
  test("is chosen at the start, and anew after 20 seconds, not on every pass", async () => {
    expect(await rules.resync(WISH)).toMatchObject({ variant: "nft" });
    kube("4 legacy");
    clockMs = 19_999;
    expect(await rules.resync(WISH)).toMatchObject({ variant: "nft", plan: [] });
    clockMs = 20_000;
    const moved = await rules.resync(WISH);
    expect(moved).toMatchObject({ variant: "legacy", faults: [] });
    expect(moved.changes.filter(({ isRepair }) => isRepair)).toEqual([]);
    expect(places()).toEqual(["4 legacy nat", "4 legacy filter"]);
    expect(tables.rules("4 nft", "filter", "FORWARD")).toEqual([]);
    expect(tables.rules("4 nft", "nat", "POSTROUTING")).toEqual([]);
  });

  test("is asked anew for --random-fully", async () => {
    await rules.resync(WISH);
    kube("4 legacy");
    clockMs = 20_000;
    tables.knowsRandomFully = false;
    await rules.resync(WISH);
    expect(tables.rules("4 legacy", "nat", "MINICNI-POSTROUTING")?.at(-1)).toBe(
      "-s 10.244.1.0/24 -j MASQUERADE",
    );
  });

  test("that a former agent used is cleaned at the start", async () => {
    kube("4 nft");
    tables.chains("4 legacy", "filter").set("MINICNI-FORWARD", ["-s 10.0.0.0/8 -j ACCEPT"]);
    tables.rules("4 legacy", "filter", "FORWARD")?.push("-j DOCKER", "-j MINICNI-FORWARD");
    const { changes } = await rules.resync(WISH);
    expect(changes.filter(({ what }) => what === "unwanted chain")).toHaveLength(1);
    expect(places()).toEqual(["4 nft nat", "4 nft filter"]);
    expect(tables.rules("4 legacy", "filter", "FORWARD")).toEqual(["-j DOCKER"]);
  });

  test("with KUBE-* chains in both is a warning as long as they are there", async () => {
    kube("4 nft");
    kube("4 legacy");
    const first = await rules.resync(WISH);
    expect(first.faults).toEqual([]);
    expect(first.warnings[0]).toContain("KUBE-* chains in both nft and legacy");
    expect((await rules.resync(WISH)).warnings).toEqual(first.warnings);
    tables.chains("4 legacy", "mangle").delete("KUBE-KUBELET-CANARY");
    clockMs = 20_000;
    expect((await rules.resync(WISH)).warnings).toEqual([]);
  });

  test("that is not used is a warning where it drops what nothing accepts", async () => {
    kube("4 nft");
    tables.policies.set("4 legacy FORWARD", "DROP");
    const { faults, warnings } = await rules.resync(WISH);
    expect(faults).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining("FORWARD of iptables-legacy drops by policy")]);
  });

  test("legacy is not looked into where it has no tables", async () => {
    for (const file of ["ip_tables_names", "ip6_tables_names"]) machine.files.set(`/proc/net/${file}`, "");
    await rules.resync(WISH);
    expect(tables.tables().filter((name) => name.includes("legacy"))).toEqual([]);
  });
});

test("without masquerade a nat table of x_tables that is not there stays so", async () => {
  kube("4 legacy");
  machine.files.set("/proc/net/ip_tables_names", "mangle\n");
  expect(await rules.resync({ ...WISH, masquerade: false })).toMatchObject({ variant: "legacy", faults: [] });
  expect(tables.tables().filter((name) => name.startsWith("4 legacy"))).toEqual([
    "4 legacy mangle",
    "4 legacy filter",
  ]);
});

test("stale rules of a family in which self has no pod CIDR are taken away", async () => {
  tables.chains("6 nft", "nat").set("MINICNI-POSTROUTING", []);
  tables.rules("6 nft", "nat", "POSTROUTING")?.push("-j MINICNI-POSTROUTING");
  const { changes } = await rules.resync(WISH);
  expect(changes).toContainEqual({
    family: 6,
    chain: "MINICNI-POSTROUTING",
    what: "unwanted chain",
    isRepair: false,
  });
  expect(places()).toEqual(["4 nft nat", "4 nft filter"]);
});

describe("where there is less", () => {
  const having = (...programs: string[]) => {
    machine.findProgram = (name) => (programs.includes(name) ? `/usr/sbin/${name}` : null);
  };

  test("without IPv6 in the kernel no ip6tables is called", async () => {
    machine.files.delete("/proc/sys/net/ipv6/conf/all/forwarding");
    expect((await rules.resync(DUAL)).plan).toHaveLength(1);
    expect(machine.spawned.filter((line) => line.startsWith("ip6"))).toEqual([]);
  });

  test("without iptables that is the fault, and it is looked for again on the next pass", async () => {
    having();
    expect(await rules.resync(DUAL)).toMatchObject({ plan: [], faults: ["no iptables on the PATH"] });
    having("iptables");
    expect(await rules.resync(DUAL)).toMatchObject({ variant: undefined, faults: [] });
    expect(machine.spawned.filter((line) => /^ip6?tables-(nft|legacy)/.test(line))).toEqual([]);
  });

  test("without ip6tables a node with IPv4 pods alone has no fault", async () => {
    machine.answer = (request) => {
      if (request.argv[0]?.startsWith("ip6")) throw new HostError("can't run `ip6tables-nft`", "");
      return tables.answer(request);
    };
    expect(await rules.resync(WISH)).toMatchObject({ faults: [], warnings: [] });
    expect((await rules.resync(DUAL)).faults[0]).toContain("can't run `ip6tables-nft`");
    expect(tables.rules("4 nft", "filter", "FORWARD")).toEqual(["-j MINICNI-FORWARD"]);
  });

  test("without --random-fully it is left out; it is asked for once", async () => {
    tables.knowsRandomFully = false;
    await rules.resync(WISH);
    await rules.resync({ ...WISH });
    expect(tables.rules("4 nft", "nat", "MINICNI-POSTROUTING")?.at(-1)).toBe(
      "-s 10.244.1.0/24 -j MASQUERADE",
    );
    expect(machine.spawned.filter((line) => line.includes("--test"))).toHaveLength(1);
  });
});
