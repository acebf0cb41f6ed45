import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { checkForAdd, parseJson, parseNetConf } from "../../../src/cni/config.ts";
import { CniError } from "../../../src/cni/errors.ts";
import { parseResult } from "../../../src/cni/prev.ts";
import { parseEnvironment } from "../../../src/cni/request.ts";
import { formatResult, type Result } from "../../../src/cni/result.ts";
import { SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";
import { readResolvConf } from "../../../src/entry/desired.ts";
import { findNode } from "../../../src/entry/node.ts";
import { mtimeOf, readPoolFile, withoutAddresses } from "../../../src/host/pool-file.ts";
import { parseRecord } from "../../../src/host/records.ts";
import { bitmapBytes } from "../../../src/ipam/pool.ts";
import { parseRangeSets, slotsOfSet } from "../../../src/ipam/range.ts";
import { parseReservation } from "../../../src/ipam/reservation.ts";
import { createFakeMachine } from "../../twin/machine.ts";
import { address } from "../../twin/words.ts";
import { configurations, sampleResult } from "./documents.ts";
import { edits, junk, mutate, slips, write } from "./values.ts";

setDefaultTimeout(120_000);

/** Runs of each property, by what one costs. `FUZZ_RUNS=10` makes ten times as many of all. */
const TIMES = Number(process.env.FUZZ_RUNS ?? 1);
const MANY = 25_000 * TIMES;
const SOME = 5_000 * TIMES;

const folder = mkdtempSync(`${existsSync("/dev/shm") ? "/dev/shm" : tmpdir()}/minicni-fuzz-`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What `work` returns; null when it refuses with one of the codes. Anything else that is thrown is a fault. */
function orRefused<T>(codes: readonly number[], work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof CniError && codes.includes(error.code) && error.message !== "") return null;
    throw error;
  }
}

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.json({ maxDepth: 4 }),
  fc.constantFrom("", "{}", "[]", "null", '"x"', "\u0000", "[".repeat(999), '{"a":'.repeat(999)),
);

describe("a configuration", () => {
  test(`of any text is read, or refused with code 1, 2, 6 or 7 (${SOME} texts)`, () => {
    fc.assert(
      fc.property(anyText, fc.boolean(), (text, isLenient) => {
        orRefused([1, 2, 6, 7], () => checkForAdd(parseNetConf(parseJson(text), isLenient)));
      }),
      { numRuns: SOME },
    );
  });

  test(`that is almost right is read as what it says, or refused (${MANY} documents)`, () => {
    fc.assert(
      fc.property(
        configurations("/root"),
        edits(0),
        slips,
        fc.boolean(),
        (sample, changes, slip, isLenient) => {
          const text = write(mutate(sample, changes).document, slip);
          const conf = orRefused([1, 6, 7], () => parseNetConf(parseJson(text), isLenient));
          if (conf === null) return;
          orRefused([2, 7], () => checkForAdd(conf));
          expect(SUPPORTED_VERSIONS).toContain(conf.cniVersion);
          expect(conf.network).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/);
          expect([conf.stateDir, conf.dataDir].every((path) => path === "" || path.startsWith("/"))).toBe(
            true,
          );
          expect([conf.network, conf.dataDir]).not.toContain("evil");
          if (!isLenient) expect(conf.ignored).toEqual([]);
        },
      ),
      { numRuns: MANY },
    );
  });
});

describe("a text that is nested deeper than any stack", () => {
  const DEPTH = 1_000_000;
  test.each([
    ["arrays", "[".repeat(DEPTH) + "]".repeat(DEPTH)],
    ["arrays without end", "[".repeat(DEPTH)],
    ["objects", `${'{"a":'.repeat(DEPTH)}0${"}".repeat(DEPTH)}`],
    ["in prevResult", `{"name":"pods","prevResult":${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}}`],
  ])("of %s is refused with code 6, as a record it is none", (_what, text) => {
    expect(orRefused([6], () => parseNetConf(parseJson(text)))).toBeNull();
    expect(parseRecord(text)).toBeNull();
  });
});

describe("the environment", () => {
  const text = fc.oneof(
    fc.constantFrom("ADD", "DEL", "GC", "c1", "eth0", "/run/netns/c1", "", undefined),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  test(`of any values is read, or refused with code 4 (${MANY} environments)`, () => {
    const variables = fc.record({
      CNI_COMMAND: text,
      CNI_CONTAINERID: text,
      CNI_NETNS: text,
      CNI_IFNAME: text,
      CNI_ARGS: fc.oneof(text, fc.constantFrom("a=b;;c", "=", "IP=;MAC=x", "__proto__=1;constructor")),
      CNI_PATH: text,
    });
    fc.assert(
      fc.property(variables, (it) => {
        const environment = orRefused([4], () => parseEnvironment(it));
        if (environment === null || !["ADD", "DEL", "CHECK"].includes(environment.commandText)) return;
        expect(environment.containerId).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,219}$/);
        expect(environment.ifname).toMatch(/^[^/:\s]{1,15}$/);
      }),
      { numRuns: MANY },
    );
  });
});

describe("a result", () => {
  const again = (result: Result) => formatResult("1.1.0", result);
  const version = fc.constantFrom(...SUPPORTED_VERSIONS);

  test(`of any of the seven versions, almost right, is read or refused with code 1 or 6 (${MANY} documents)`, () => {
    fc.assert(
      fc.property(version, version, edits(0), (own, fallback, changes) => {
        const json = parseJson(JSON.stringify(mutate(sampleResult(own), changes).document));
        const result = orRefused([1, 6], () => parseResult(json, fallback, "prevResult"));
        if (result === null) return;
        // What was understood can be said and understood again.
        const read = parseResult(JSON.parse(again(result)), "1.1.0", "prevResult");
        expect(read === null ? "" : again(read)).toBe(again(result));
        for (const each of SUPPORTED_VERSIONS) orRefused([7], () => formatResult(each, result));
      }),
      { numRuns: MANY },
    );
  });

  test(`of any JSON is read or refused (${SOME} values)`, () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), junk), version, (value, fallback) => {
        orRefused([1, 6], () => parseResult(value, fallback, "prevResult"));
      }),
      { numRuns: SOME },
    );
  });
});

describe("files on the disk", () => {
  test(`any text is a record, a reservation, or neither (${MANY} texts)`, () => {
    fc.assert(
      fc.property(anyText, (text) => {
        parseRecord(text);
        const owner = parseReservation(text);
        if (owner !== null) expect(owner.containerId).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/);
      }),
      { numRuns: MANY },
    );
  });

  test(`any bytes are a bitmap of the set, or none (${SOME} files)`, () => {
    const [set = []] = parseRangeSets([[{ subnet: "10.1.0.0/24" }]]);
    const ranges = fc.constantFrom<unknown>(
      [["10.1.0.0/24", "10.1.0.1", "10.1.0.254", "10.1.0.1"]],
      [],
      [[]],
      [["x"]],
      {},
      7,
    );
    const file = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(ranges, fc.boolean(), fc.uint8Array({ maxLength: 40 })).map(([it, isCurrent, bits]) => {
        const header = JSON.stringify({ ranges: it, mtimeNs: isCurrent ? mtimeOf(folder) : "1" });
        return Buffer.concat([Buffer.from(`${header}\n`), bits]);
      }),
    );
    writeFileSync(`${folder}/.pool.0`, "");
    fc.assert(
      fc.property(file, (bytes) => {
        writeFileSync(`${folder}/.pool.0`, bytes);
        const bits = readPoolFile(folder, 0, set, mtimeOf(folder));
        if (bits !== null) expect(bits.length).toBe(bitmapBytes(slotsOfSet(set)));
      }),
      { numRuns: SOME },
    );
  });

  test("a bitmap whose header names no ranges does not keep an address from being released", () => {
    for (const ranges of [[null], [7], [{}], [["10.1.0.0/24"]], [[1, 2, 3, 4]]]) {
      writeFileSync(`${folder}/.pool.0`, `${JSON.stringify({ ranges, mtimeNs: mtimeOf(folder) })}\nxxxxxxxx`);
      expect(withoutAddresses(folder, () => [address("10.1.0.2")])).toHaveLength(1);
    }
  });

  test(`any node.json is read, or refused with code 11 (${SOME} texts)`, () => {
    const machine = createFakeMachine("/nowhere");
    const sample = {
      podCidrs: ["10.244.1.0/24", "fd00:244:1::/64"],
      clusterCidrs: ["10.244.0.0/16"],
      ready: true,
      reason: "",
      mtu: 1450,
      backend: "vxlan",
      bootId: "boot-1",
    };
    const text = fc.oneof(
      anyText,
      fc.tuple(edits(1), slips).map(([changes, slip]) => write(mutate(sample, changes).document, slip)),
    );
    fc.assert(
      fc.property(text, (it) => {
        machine.files.set("/run/minicni/node.json", it);
        const node = orRefused([11], () => findNode("/run/minicni", machine));
        expect(node?.podCidrs.every((cidr) => typeof cidr === "string") ?? true).toBe(true);
        expect(node?.mtu ?? 68).toBeWithin(68, 65536);
      }),
      { numRuns: SOME },
    );
  });

  test(`any resolv.conf gives texts only (${SOME} texts)`, () => {
    const machine = createFakeMachine("/nowhere");
    const conf = parseNetConf({ name: "pods", ipam: { resolvConf: "/etc/resolv.conf" } });
    const line = fc.tuple(
      fc.constantFrom("nameserver", "domain", "search", "options", "#", ";", "", "sortlist"),
      fc.string({ maxLength: 9 }),
    );
    const text = fc.oneof(
      anyText,
      fc.array(line.map((words) => words.join(" "))).map((lines) => lines.join("\n")),
    );
    fc.assert(
      fc.property(text, (it) => {
        machine.files.set("/etc/resolv.conf", it);
        const { nameservers, domain, search, options } = readResolvConf(conf, machine);
        for (const word of [...(nameservers ?? []), domain ?? "x", ...(search ?? []), ...(options ?? [])]) {
          expect(word).not.toMatch(/\s/);
        }
      }),
      { numRuns: SOME },
    );
  });
});
