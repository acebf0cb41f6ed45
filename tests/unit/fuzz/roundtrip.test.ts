import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { parseJson } from "../../../src/cni/config.ts";
import { parseResult } from "../../../src/cni/prev.ts";
import { formatResult, type Result, type ResultRoute } from "../../../src/cni/result.ts";
import { type CniVersion, isAtLeast, SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";
import { type AttachmentRecord, parseRecord } from "../../../src/host/records.ts";
import { formatReservation, parseReservation } from "../../../src/ipam/reservation.ts";
import type { Address, Family } from "../../../src/net/address.ts";
import { addressBits } from "../../../src/net/address.ts";
import type { Prefix } from "../../../src/net/prefix.ts";

setDefaultTimeout(120_000);

/** Runs of each property; `FUZZ_RUNS=10` makes ten times as many. */
const RUNS = 2_000 * Number(process.env.FUZZ_RUNS ?? 1);

const family = fc.constantFrom<Family>(4, 6);
const addressOf = (of: Family): fc.Arbitrary<Address> =>
  fc.bigInt({ min: 0n, max: (1n << BigInt(addressBits(of))) - 1n }).map((value) => ({ family: of, value }));
const prefix: fc.Arbitrary<Prefix> = family.chain((of) =>
  fc.record({ address: addressOf(of), length: fc.nat(addressBits(of)) }),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const gateway = maybe(family.chain(addressOf));
const word = fc.string({ minLength: 1, maxLength: 12 });
const uint = fc.integer({ min: 0, max: 2 ** 31 });

const route: fc.Arbitrary<ResultRoute> = fc.record(
  { dst: prefix, gw: gateway, mtu: uint, advmss: uint, priority: uint, table: uint, scope: uint },
  { requiredKeys: ["dst", "gw"] },
);
const result: fc.Arbitrary<Result> = fc.record({
  interfaces: fc.array(
    fc.record(
      {
        name: word,
        mac: fc.constantFrom("", "0a:58:00:00:00:01", "x"),
        sandbox: fc.string({ maxLength: 5 }),
        mtu: fc.integer({ min: 1, max: 65535 }),
        socketPath: word,
        pciID: word,
      },
      { requiredKeys: ["name", "mac", "sandbox"] },
    ),
    { maxLength: 3 },
  ),
  ips: fc.array(fc.record({ address: prefix, gateway, interface: maybe(fc.nat(5)) }), { maxLength: 4 }),
  routes: fc.array(route, { maxLength: 3 }),
  dns: fc.record(
    {
      nameservers: fc.array(word, { minLength: 1, maxLength: 2 }),
      domain: word,
      search: fc.array(word, { minLength: 1, maxLength: 2 }),
      options: fc.array(word, { minLength: 1, maxLength: 2 }),
    },
    { requiredKeys: [] },
  ),
});

/** What a version has words for. */
function expressible(version: CniVersion, { interfaces, ips, routes, dns }: Result): Result {
  const isNew = isAtLeast(version, "1.1.0");
  const plain = routes.map((it) => (isNew ? it : { dst: it.dst, gw: it.gw }));
  if (isAtLeast(version, "0.3.0")) {
    const links = interfaces.map((it) => (isNew ? it : { name: it.name, mac: it.mac, sandbox: it.sandbox }));
    return { interfaces: links, ips, routes: plain, dns };
  }
  const first = ([4, 6] as const).flatMap(
    (of) => ips.find(({ address }) => address.address.family === of) ?? [],
  );
  return {
    interfaces: [],
    ips: first.map((ip) => ({ ...ip, interface: null })),
    routes: first.flatMap((ip) =>
      plain.filter(({ dst }) => dst.address.family === ip.address.address.family),
    ),
    dns,
  };
}

describe("what is written is what is read", () => {
  test.each([...SUPPORTED_VERSIONS])(`of a result in version %s (${RUNS} results)`, (version) => {
    fc.assert(
      fc.property(result, (it) => {
        const isOld = !isAtLeast(version, "0.3.0");
        if (isOld && it.ips.length === 0) return;
        const text = formatResult(version, it);
        expect(parseResult(parseJson(text), "1.1.0", "a result")).toEqual(expressible(version, it));
      }),
      { numRuns: RUNS },
    );
  });

  const containerId = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}$/);
  const ifname = fc.stringMatching(/^[A-Za-z0-9_.+@,=-]{1,15}$/);

  test(`of a reservation, by us and by host-local before v0.8 (${RUNS} owners)`, () => {
    fc.assert(
      fc.property(containerId, ifname, (id, name) => {
        const owner = { containerId: id, ifname: name };
        expect(parseReservation(formatReservation(owner))).toEqual(owner);
        expect(parseReservation(`${id}\n`)).toEqual({ containerId: id, ifname: "" });
      }),
      { numRuns: RUNS },
    );
  });

  test(`of a record; none of its beginnings is one (${RUNS} records)`, () => {
    const text = fc.string({ unit: "grapheme", maxLength: 10 });
    const limit = fc.record({ rate: uint, burst: uint });
    const record: fc.Arbitrary<AttachmentRecord> = fc.record({
      version: fc.constant(2 as const),
      containerId,
      ifname,
      netns: text,
      bootId: text,
      phase: fc.constantFrom("begun", "reserved", "complete"),
      kind: fc.constantFrom("bridge", "ipam"),
      bridge: text,
      hostVeth: text,
      hostMac: text,
      podMac: text,
      mtu: uint,
      hairpin: fc.boolean(),
      isolated: fc.boolean(),
      vlan: maybe(uint),
      ipam: maybe(text),
      dataDir: text,
      addresses: fc.array(text, { maxLength: 3 }),
      routes: fc.array(text, { maxLength: 2 }),
      masquerade: fc.constantFrom(null, "iptables", "nftables"),
      spoofCheck: fc.boolean(),
      hostPorts: fc.constant(null),
      ingress: maybe(limit),
      egress: maybe(limit),
      ifb: maybe(text),
      tuning: maybe(
        fc.record(
          {
            mtu: uint,
            promisc: fc.boolean(),
            allmulti: fc.boolean(),
            txQueueLength: uint,
            sysctls: fc.array(fc.tuple(text, text), { maxLength: 2 }),
          },
          { requiredKeys: ["sysctls"] },
        ),
      ),
    });
    fc.assert(
      fc.property(record, fc.double({ min: 0, max: 0.999, noNaN: true }), (it, part) => {
        const whole = JSON.stringify(it);
        expect(parseRecord(whole)).toEqual(it);
        expect(parseRecord(whole.slice(0, Math.floor(whole.length * part)))).toBeNull();
      }),
      { numRuns: RUNS },
    );
  });
});
