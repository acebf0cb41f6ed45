import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { destroySandboxes, type Json, NETWORK, type Pod, run, Sandbox } from "./sandbox.ts";
import { errorOf, type Finished } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const HOST_LOCAL = "/usr/lib/cni/host-local";
const isThere = existsSync(HOST_LOCAL);
if (!isThere) process.stderr.write(`hostlocal: skipped, no ${HOST_LOCAL}\n`);

type Who = "host-local" | "minicni";
const BOTH: readonly Who[] = ["host-local", "minicni"];

interface Asked {
  readonly command?: string;
  readonly id: string;
  readonly ipam: Json;
  readonly args?: string;
  readonly more?: Json;
}

/** One node, with a store for each of the two, or one for both. */
class Stores {
  readonly box = new Sandbox();
  readonly #pod: Pod = this.box.pod();

  constructor(readonly isShared = false) {}

  dataDir(who: Who): string {
    return this.isShared ? this.box.dataDir : `${this.box.dataDir}/${who}`;
  }

  call(who: Who, { command = "ADD", id, ipam, args = "", more }: Asked): Finished {
    const section = { ...ipam, type: who, dataDir: this.dataDir(who) };
    // As IPAM plugins both: called by another one, whose configuration this is.
    const conf = { cniVersion: "1.0.0", name: NETWORK, type: "bridge", stateDir: this.box.stateDir };
    const argv = who === "host-local" ? [HOST_LOCAL] : this.box.argv();
    const env = this.box.variables(command, { ...this.#pod, id }, { CNI_ARGS: args });
    return run(argv, { stdin: JSON.stringify({ ...conf, ...more, ipam: section }), env });
  }

  /** The addresses given, or the words of the refusal. */
  add(who: Who, asked: Asked): string {
    const { exitCode, stdout } = this.call(who, asked);
    const answer: { msg?: string; ips?: { address: string; gateway?: string }[] } = JSON.parse(stdout);
    if (exitCode !== 0) return answer.msg ?? "(no msg)";
    return (answer.ips ?? []).map(({ address, gateway }) => `${address} by ${gateway}`).join(", ");
  }
}

/** The same numbers in every run (Park and Miller's generator). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

const IPAMS: readonly (readonly [what: string, ipam: Json])[] = [
  ["a small range, wrapping many times", { ranges: [[{ subnet: "10.7.0.0/29" }]] }],
  [
    "a span inside a subnet, its gateway within",
    {
      ranges: [
        [
          {
            subnet: "10.7.0.0/24",
            rangeStart: "10.7.0.20",
            rangeEnd: "10.7.0.27",
            gateway: "10.7.0.23",
          },
        ],
      ],
    },
  ],
  [
    "two ranges in a set, and IPv6",
    { ranges: [[{ subnet: "10.7.0.0/30" }, { subnet: "10.8.0.0/29" }], [{ subnet: "fd00:7::/125" }]] },
  ],
  ["the old form", { subnet: "10.7.0.0/29", rangeStart: "10.7.0.3" }],
];

describe.skipIf(!isThere)("the same calls on a store of host-local and on ours", () => {
  for (const [what, ipam] of IPAMS) {
    test(`${what}: the same addresses, and the same words when there is none`, () => {
      const stores = new Stores();
      const next = random(7);
      const live: string[] = [];
      const given: string[] = [];
      for (let step = 0; step < 40; step++) {
        if (live.length > 0 && next(5) < 2) {
          const [id = ""] = live.splice(next(live.length), 1);
          for (const who of BOTH) expect(stores.call(who, { command: "DEL", id, ipam }).exitCode).toBe(0);
          continue;
        }
        const id = `c${step}`;
        const [theirs = "", ours] = BOTH.map((who) => stores.add(who, { id, ipam }));
        expect(ours).toBe(theirs);
        given.push(theirs);
        if (!theirs.startsWith("failed")) live.push(id);
      }
      expect(given.some((text) => text.includes("no IP addresses available in range set"))).toBe(true);
      const kept = BOTH.map((who) =>
        readFileSync(`${stores.dataDir(who)}/${NETWORK}/last_reserved_ip.0`, "utf8"),
      );
      expect(kept[1]).toBe(kept[0] ?? "");
    });
  }

  test("an address that was asked for moves the search on: the next one comes behind it", () => {
    const stores = new Stores();
    const ipam = { ranges: [[{ subnet: "10.7.0.0/28" }]] };
    const sequence = (who: Who) => [
      stores.add(who, { id: "a", ipam }),
      stores.add(who, { id: "b", ipam, args: "IP=10.7.0.9" }),
      stores.add(who, { id: "c", ipam }),
    ];
    expect(sequence("minicni")).toEqual(sequence("host-local"));
  });
});

const RANGE = { ranges: [[{ subnet: "10.7.0.0/24" }]] };
const single = (more: Json): Json => ({ ranges: [[{ subnet: "10.7.0.0/24", ...more }]] });
/** What both refuse. Our words hold theirs, or (third column) say more about which value it was. */
const REFUSALS: readonly (readonly [what: string, asked: Omit<Asked, "id">, ours?: string])[] = [
  ["a request outside of all ranges", { ipam: RANGE, args: "IP=10.8.0.1" }],
  ["a request for the gateway", { ipam: RANGE, args: "IP=10.7.0.1" }],
  ["a request for the broadcast address", { ipam: RANGE, args: "IP=10.7.0.255" }],
  ["a request for what is taken", { ipam: RANGE, args: "IP=10.7.0.2" }],
  ["host bits in a subnet", { ipam: single({ subnet: "10.7.0.1/24" }) }],
  ["host bits in a subnet of IPv6", { ipam: { ranges: [[{ subnet: "fd00::1/64" }]] } }],
  ["a /31", { ipam: single({ subnet: "10.7.0.0/31" }) }],
  ["a /127", { ipam: single({ subnet: "fd00::/127" }) }],
  ["sets that overlap", { ipam: { ranges: [[{ subnet: "10.7.0.0/24" }], [{ subnet: "10.7.0.0/25" }]] } }],
  [
    "ranges of one set that overlap",
    { ipam: { ranges: [[{ subnet: "10.7.0.0/24" }, { subnet: "10.7.0.0/25" }]] } },
  ],
  [
    "a start behind the end",
    { ipam: single({ rangeStart: "10.7.0.9", rangeEnd: "10.7.0.8" }) },
    "RangeStart 10.7.0.9 is behind RangeEnd 10.7.0.8 in 10.7.0.0/24",
  ],
  ["a start outside", { ipam: single({ rangeStart: "10.9.0.9" }) }],
  ["an end outside", { ipam: single({ rangeEnd: "10.9.0.9" }) }],
  ["both families in one set", { ipam: { ranges: [[{ subnet: "10.7.0.0/24" }, { subnet: "fd00::/64" }]] } }],
  ["an empty set", { ipam: { ranges: [[]] } }],
  ["no range at all", { ipam: { ranges: [] } }],
  ["no subnet", { ipam: single({ subnet: "x" }) }, 'invalid subnet "x"'],
  ["no address", { ipam: single({ rangeStart: "x" }) }, 'invalid RangeStart "x"'],
  [
    "two addresses of a family under 0.2.0",
    {
      ipam: { ranges: [[{ subnet: "10.7.0.0/24" }], [{ subnet: "10.8.0.0/24" }]] },
      more: { cniVersion: "0.2.0" },
    },
  ],
];

describe.skipIf(!isThere)("what host-local refuses, we refuse in its words", () => {
  for (const [what, asked, ours] of REFUSALS) {
    test(what, () => {
      const stores = new Stores();
      for (const who of BOTH) stores.add(who, { id: "first", ipam: RANGE });
      const [theirs, mine] = BOTH.map((who) => errorOf(stores.call(who, { ...asked, id: "late" })).msg);
      expect(mine).toContain(ours ?? theirs ?? "(none)");
    });
  }

  test("a second ADD of the same attachment", () => {
    const stores = new Stores();
    const asked = { id: "twice", ipam: RANGE };
    for (const who of BOTH) stores.add(who, asked);
    const [theirs = "", mine] = BOTH.map((who) => errorOf(stores.call(who, asked)).msg);
    expect(mine).toBe(theirs);
  });

  test("CHECK of a reservation that is gone", () => {
    const stores = new Stores();
    const messages = BOTH.map((who) => {
      const answer = stores.call(who, { id: "lost", ipam: RANGE });
      rmSync(`${stores.dataDir(who)}/${NETWORK}/10.7.0.2`);
      const more = { prevResult: JSON.parse(answer.stdout) };
      return errorOf(stores.call(who, { command: "CHECK", id: "lost", ipam: RANGE, more })).msg;
    });
    expect(messages[1]).toBe(messages[0] ?? "");
  });
});

describe.skipIf(!isThere)("what host-local takes, we take", () => {
  test("a gateway outside of its subnet: the main plugin has to know", () => {
    const stores = new Stores();
    const [theirs, ours] = BOTH.map((who) =>
      stores.add(who, { id: "a", ipam: single({ gateway: "10.8.0.8" }) }),
    );
    expect(ours).toBe(theirs ?? "");
    expect(ours).toEndWith("by 10.8.0.8");
  });

  test("addresses asked for by args and by the runtime, together", () => {
    const stores = new Stores();
    const ipam = { ranges: [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd00:7::/64" }]] };
    const more = {
      args: { cni: { ips: ["fd00:7::50"] } },
      runtimeConfig: { ips: ["10.7.0.60"] },
    };
    const [theirs, ours] = BOTH.map((who) => stores.add(who, { id: "a", ipam, more }));
    expect(ours).toBe(theirs ?? "");
    expect(ours).toBe("10.7.0.60/24 by 10.7.0.1, fd00:7::50/64 by fd00:7::1");
  });
});

describe.skipIf(!isThere)("one store, used by both in turn", () => {
  test("no address is given twice; each releases the other's; nothing is left", () => {
    const stores = new Stores(true);
    mkdirSync(stores.box.dataDir);
    const ipam = { ranges: [[{ subnet: "10.7.0.0/28" }], [{ subnet: "fd00:7::/124" }]] };
    const next = random(11);
    const live = new Map<string, { who: Who; addresses: string[] }>();
    const release = (id: string) => {
      const other = BOTH.find((who) => who !== live.get(id)?.who) ?? "minicni";
      expect(stores.call(other, { command: "DEL", id, ipam }).exitCode).toBe(0);
      live.delete(id);
    };
    for (let step = 0; step < 60; step++) {
      const ids = [...live.keys()];
      if (ids.length > 0 && next(5) < 2) release(ids[next(ids.length)] ?? "");
      else {
        const [who, id] = [BOTH[next(2)] ?? "minicni", `c${step}`];
        const addresses = stores.add(who, { id, ipam }).split(", ");
        if (addresses[0]?.startsWith("failed") === true) expect(live.size).toBe(13);
        else live.set(id, { who, addresses: addresses.map((text) => text.replace(/\/.*/, "")) });
      }
      const held = [...live.values()].flatMap(({ addresses }) => addresses);
      expect(new Set(held).size).toBe(held.length);
      expect(stores.box.reservations().sort()).toEqual(held.sort());
    }
    for (const id of [...live.keys()]) release(id);
    expect(stores.box.reservations()).toEqual([]);
  });
});
