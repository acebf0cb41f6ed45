import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  claimsLock,
  EMPTY_LEDGER,
  type HostPortLedger,
  hasLedger,
  type KeptClaim,
  keepStaleTargets,
  parseHostPorts,
  readLedger,
  readSettled,
  recordedPorts,
  type Settled,
  staleTargets,
  writeLedger,
  writeSettled,
} from "../../../src/host/host-port-claims.ts";
import { createFakeMachine, type FakeMachine } from "../../twin/machine.ts";
import { claim } from "../topology/host-ports-words.ts";

let root = "";
let host: FakeMachine;
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/mtest-claims-`);
  host = createFakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const kept = (more: Partial<KeptClaim> = {}): KeptClaim => ({
  ...claim(5, ["tcp 8080 80", "udp 192.0.2.1:53 53", "sctp [2001:db8::1]:9 99"], {
    conditions: { 4: ["-i", "up0"], 6: [] },
    externalSetMarkChain: "KUBE-MARK-MASQ",
  }),
  backend: "iptables",
  ...more,
});
const ledger = (): HostPortLedger => ({
  variant: "legacy",
  places: ["ipv4", "ipv6"],
  claims: [kept(), kept({ containerId: "pod6", backend: "nftables" })],
});
const path = () => `${root}/hostports/claims.json`;

function put(text: string): void {
  mkdirSync(`${root}/hostports`, { recursive: true });
  writeFileSync(path(), text);
}

describe("claims", () => {
  test("come back as they were written", () => {
    writeLedger(host, root, ledger());
    expect(readLedger(host, root)).toEqual(ledger());
    expect(hasLedger(host, root)).toBe(true);
  });

  test("a claim comes back from its record", () => {
    const { network, containerId, ifname, bridge } = kept();
    const recorded: unknown = JSON.parse(JSON.stringify(recordedPorts(kept())));
    expect(recorded).toEqual(recordedPorts(kept()));
    expect(parseHostPorts({ network, containerId, ifname, bridge }, recordedPorts(kept()))).toEqual(kept());
  });

  test("no file is no claim, unless there was one: then it is lost", () => {
    expect(readLedger(host, root)).toEqual(EMPTY_LEDGER);
    expect(hasLedger(host, root)).toBe(false);
    writeFileSync(claimsLock(root), "");
    mkdirSync(`${root}/hostports`);
    writeFileSync(`${root}/hostports/claims.json.tmp`, "{");
    // The first one is just being written.
    expect(readLedger(host, root)).toEqual(EMPTY_LEDGER);
    writeFileSync(`${root}/hostports/settled.json`, "{}");
    expect(readLedger(host, root)).toBeNull();
    expect(hasLedger(host, root)).toBe(true);
  });

  test("none, with no rules left, are nothing to look after; with rules left they are", () => {
    writeLedger(host, root, ledger());
    writeLedger(host, root, { ...EMPTY_LEDGER, places: ["raw"] });
    expect(readLedger(host, root)?.places).toEqual(["raw"]);
    expect(hasLedger(host, root)).toBe(true);
    writeFileSync(claimsLock(root), "");
    writeLedger(host, root, EMPTY_LEDGER);
    expect(readLedger(host, root)).toEqual(EMPTY_LEDGER);
    expect(hasLedger(host, root)).toBe(false);
  });

  test.each([
    ["an empty file", () => ""],
    ["half a file", (text: string) => text.slice(0, text.length / 2)],
    ["no JSON", () => "\0\0\0\0"],
    ["JSON of something else", () => "[]"],
    ["a protocol that nobody knows", (text: string) => text.replace('"sctp"', '"dccp"')],
    ["a place that nobody knows", (text: string) => text.replace('"ipv6"', '"ipv5"')],
  ])("%s can't be trusted", (_, tear) => {
    writeLedger(host, root, ledger());
    const text = host.readFile(path()) ?? "";
    put(tear(text));
    expect(readLedger(host, root)).toBeNull();
    // The records have to be asked: there may be rules.
    expect(hasLedger(host, root)).toBe(true);
  });

  test("those of another boot can't be trusted", () => {
    writeLedger({ ...host, bootId: () => "boot-0" }, root, ledger());
    expect(readLedger(host, root)).toBeNull();
  });
});

describe("what the kernel was last known to have", () => {
  const settled: Settled = {
    generation: "4026531840/7",
    variant: "nft",
    places: ["ipv4", "nftables"],
    families: {
      4: { chains: { "MINICNI-HOSTPORTS": ["-A MINICNI-HOSTPORTS -j X"] }, bases: { "nat OUTPUT": [] } },
      6: { chains: {}, bases: {} },
    },
    table: { digest: "digest_00000000", rules: 3, elements: { any4_00000000: ["6 . 80 : 10.7.0.5 . 80"] } },
  };

  test("comes back as it was written, and goes", () => {
    expect(readSettled(host, root)).toBeNull();
    writeSettled(host, root, settled);
    expect(readSettled(host, root)).toEqual(settled);
    writeSettled(host, root, null);
    expect(readSettled(host, root)).toBeNull();
    writeSettled(host, root, null);
  });

  test("a torn file is nothing known", () => {
    mkdirSync(`${root}/hostports`);
    writeFileSync(`${root}/hostports/settled.json`, JSON.stringify(settled).slice(0, 40));
    expect(readSettled(host, root)).toBeNull();
  });
});

test("addresses to which rules may lead still are known until there are none", () => {
  expect(staleTargets(host, root)).toEqual([]);
  keepStaleTargets(host, root, ["10.1.0.5", "fd00::5"]);
  expect(staleTargets(host, root)).toEqual(["10.1.0.5", "fd00::5"]);
  keepStaleTargets(host, root, []);
  keepStaleTargets(host, root, []);
  expect(staleTargets(host, root)).toEqual([]);
});
