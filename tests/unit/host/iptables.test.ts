import { beforeEach, describe, expect, test } from "bun:test";
import {
  chooseVariant,
  isRandomFullyKnown,
  observeBaseChain,
  observeChain,
} from "../../../src/host/iptables.ts";
import type { Host } from "../../../src/host/machine.ts";
import { FakeIptables } from "../../twin/iptables.ts";
import { createFakeMachine, type FakeMachine } from "../../twin/machine.ts";

const ALL = ["iptables", "iptables-nft", "iptables-legacy"];

let machine: FakeMachine;
let tables: FakeIptables;

beforeEach(() => {
  machine = createFakeMachine("/nowhere");
  tables = new FakeIptables();
  machine.answer = (request) => tables.answer(request);
});

/** The machine with these programs, and the x_tables tables that are there. */
function having(programs: readonly string[], legacyTables = ""): Host {
  machine.files.set("/proc/net/ip_tables_names", legacyTables);
  machine.findProgram = (name) => (programs.includes(name) ? `/usr/sbin/${name}` : null);
  return machine;
}

const put = (place: string, table: string, chain: string) => tables.chains(place, table).set(chain, []);
const LEGACY_TABLES = "nat\nmangle\nfilter\n";

describe("chooseVariant", () => {
  test.each([
    ["mangle", "KUBE-IPTABLES-HINT"],
    ["mangle", "KUBE-KUBELET-CANARY"],
    ["nat", "KUBE-POSTROUTING"],
    ["filter", "KUBE-FORWARD"],
  ])("goes where %s has %s, whatever `iptables` is", async (table, chain) => {
    put("4 legacy", table, chain);
    expect(await chooseVariant(having(ALL, LEGACY_TABLES))).toEqual({
      variant: "legacy",
      others: ["nft"],
      warning: null,
    });
    tables.flush();
    tables.plain = "legacy";
    put("6 nft", table, chain);
    expect(await chooseVariant(having(ALL, LEGACY_TABLES))).toMatchObject({ variant: "nft", warning: null });
  });

  test("tells when both have some; kubelet's are worth more than kube-proxy's", async () => {
    put("4 legacy", "mangle", "KUBE-KUBELET-CANARY");
    put("4 nft", "nat", "KUBE-POSTROUTING");
    expect(await chooseVariant(having(ALL, LEGACY_TABLES))).toEqual({
      variant: "legacy",
      others: ["nft"],
      warning:
        "KUBE-* chains in both nft and legacy (nft: KUBE-POSTROUTING; legacy: KUBE-KUBELET-CANARY): legacy is used; remove those of the iptables that kubelet and kube-proxy no longer use",
    });
    put("4 nft", "mangle", "KUBE-IPTABLES-HINT");
    expect(await chooseVariant(having(ALL, LEGACY_TABLES))).toMatchObject({ variant: "nft" });
  });

  test.each([
    ["nft", "nft"],
    ["legacy", "legacy"],
  ] as const)("without KUBE-* chains follows `iptables --version` (%s)", async (plain, variant) => {
    tables.plain = plain;
    expect(await chooseVariant(having(ALL, LEGACY_TABLES))).toMatchObject({ variant, warning: null });
  });

  test("does not look into x_tables that are not there: that would make them", async () => {
    await chooseVariant(having(ALL, ""));
    expect(tables.tables().filter((name) => name.includes("legacy"))).toEqual([]);
    await chooseVariant(having(ALL, "filter\n"));
    expect(tables.tables().filter((name) => name.includes("legacy"))).toEqual(["4 legacy filter"]);
  });

  test("takes the plain programs where there are no others", async () => {
    expect(await chooseVariant(having(["iptables"]))).toEqual({
      variant: undefined,
      others: [],
      warning: null,
    });
  });

  test("takes the plain programs when what they are has no name of its own", async () => {
    expect(await chooseVariant(having(["iptables", "iptables-legacy"]))).toEqual({
      variant: undefined,
      others: ["legacy"],
      warning: null,
    });
  });

  test("takes a named one where there is no plain one", async () => {
    expect(await chooseVariant(having(["iptables-legacy"]))).toMatchObject({ variant: "legacy" });
  });

  test("takes what can't be looked at for empty", async () => {
    machine.answer = (request) =>
      request.argv.includes("-S") ? { exitCode: 4, stderr: "xtables lock" } : tables.answer(request);
    expect(await chooseVariant(having(ALL, LEGACY_TABLES))).toMatchObject({ variant: "nft", warning: null });
  });

  test("fails where there is no iptables", async () => {
    await expect(chooseVariant(having([]))).rejects.toMatchObject({
      name: "HostError",
      message: "no iptables on the PATH",
    });
  });
});

describe("observeChain", () => {
  test("tells no chain from a failure", async () => {
    put("4 nft", "nat", "EMPTY");
    expect(await observeChain(machine, 4, "nft", "nat", "EMPTY")).toEqual([]);
    expect(await observeChain(machine, 4, "nft", "nat", "NONE")).toBeNull();
    expect(await observeChain(machine, 4, "legacy", "nat", "NONE")).toBeNull();
    machine.answer = () => ({ exitCode: 4, stderr: "Another app is currently holding the xtables lock" });
    await expect(observeChain(machine, 4, "nft", "nat", "EMPTY")).rejects.toMatchObject({
      message:
        "`iptables-nft -w 10 -t nat -S EMPTY` failed: Another app is currently holding the xtables lock",
    });
  });
});

describe("observeBaseChain", () => {
  const NFT = [
    "table ip filter {",
    "\tchain FORWARD {",
    "\t\ttype filter hook forward priority filter; policy drop;",
    "\t\tcounter packets 1 bytes 84 jump MINICNI-FORWARD",
    "\t\tct state established counter packets 0 bytes 0 accept",
    "\t\tip saddr { 1.2.3.4, 5.6.7.8 } drop",
    '\t\tiifname "eth1" goto OTHER',
    "\t\treject with icmp host-prohibited",
    "\t}",
    "}",
    "",
  ].join("\n");

  test("reads by nft what iptables has no words for", async () => {
    machine.answer = ({ argv }) =>
      argv[0] === "nft"
        ? { exitCode: 0, stdout: NFT }
        : { exitCode: 1, stderr: "chain `FORWARD' in table `filter' is incompatible, use 'nft' tool." };
    expect(await observeBaseChain(machine, 4, "nft", "filter", "FORWARD")).toEqual([
      "-A FORWARD -j MINICNI-FORWARD",
      "-A FORWARD ct state established accept",
      "-A FORWARD ip saddr { 1.2.3.4, 5.6.7.8 } -j DROP",
      '-A FORWARD iifname "eth1" -g OTHER',
      "-A FORWARD -j REJECT",
    ]);
    expect(machine.spawned.at(-1)).toBe("nft list chain ip filter FORWARD");
  });

  test("fails when nobody can read it, so that no second jump is made", async () => {
    machine.answer = () => ({ exitCode: 1, stderr: "chain is incompatible" });
    await expect(observeBaseChain(machine, 6, "nft", "filter", "FORWARD")).rejects.toMatchObject({
      name: "HostError",
    });
  });
});

describe("isRandomFullyKnown", () => {
  test("is asked of the program, which changes nothing", async () => {
    expect(await isRandomFullyKnown(machine, 4, "nft")).toBe(true);
    expect(machine.spawned).toEqual(["iptables-nft-restore --noflush --test -w 10"]);
    tables.knowsRandomFully = false;
    expect(await isRandomFullyKnown(machine, 6, undefined)).toBe(false);
  });

  test("fails for any other reason, which says nothing about it", async () => {
    machine.answer = () => ({ exitCode: 4, stderr: "Another app is currently holding the xtables lock" });
    await expect(isRandomFullyKnown(machine, 4, "legacy")).rejects.toMatchObject({ name: "HostError" });
  });
});
