import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { openProber, startEcho } from "../../src/host/echo.ts";
import { BRIDGE, destroySandboxes, type Json, must, type Pod, Sandbox } from "./sandbox.ts";
import { addressesOf, connectOutside, OUTSIDE } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const ADDRESSES = ["10.7.0.9", "fd00:7::9"] as const;
const MACS = ["02:00:00:00:0a:01", "02:00:00:00:0a:02"] as const;

function withMac(box: Sandbox, mac: string, ips: readonly string[] = ADDRESSES): Json {
  return box.conf({ runtimeConfig: { mac, ips } });
}

/** The MAC by which a namespace would send to an address right now; empty when it would ask first. */
function knownMac(netns: string, dev: string, address: string): string {
  const shown = must("nsenter", `--net=${netns}`, "ip", "neigh", "show", address, "dev", dev);
  return /lladdr (\S+)/.exec(shown)?.[1] ?? "";
}

describe("the neighbours of a reused address", () => {
  /** A pod came, was talked to, and went; another one has its addresses now, under another MAC. */
  function reused(): { box: Sandbox; pod: Pod } {
    const box = new Sandbox();
    const [old, pod] = [box.pod(), box.pod()];
    box.add(old, withMac(box, MACS[0]));
    for (const address of ADDRESSES) {
      expect(box.pings(box.netns, address)).toBe(true);
      expect(knownMac(box.netns, BRIDGE, address)).toBe(MACS[0]);
    }
    expect(box.call("DEL", old).exitCode).toBe(0);
    box.add(pod, withMac(box, MACS[1]));
    return { box, pod };
  }

  test("the node sends to the new pod at once, by both families", () => {
    const { box, pod } = reused();
    for (const address of ADDRESSES) {
      expect(["", MACS[1]]).toContain(knownMac(box.netns, BRIDGE, address));
      expect(box.pings(box.netns, address)).toBe(true);
      expect(knownMac(box.netns, BRIDGE, address)).toBe(MACS[1]);
    }
    for (const gateway of ["10.7.0.1", "fd00:7::1"]) expect(box.pings(pod.netns, gateway)).toBe(true);
  });

  test("a MAC that a later plugin changes is known to the node and to other pods at once", () => {
    const box = new Sandbox();
    const [pod, peer] = [box.pod(), box.pod()];
    box.add(pod, withMac(box, MACS[0]));
    box.add(peer);
    for (const address of ADDRESSES)
      for (const netns of [box.netns, peer.netns]) expect(box.pings(netns, address)).toBe(true);
    must("nsenter", `--net=${pod.netns}`, "ip", "link", "set", "eth0", "address", MACS[1]);
    for (const address of ADDRESSES)
      for (const netns of [box.netns, peer.netns]) expect(box.pings(netns, address)).toBe(true);
  });

  test("without a wished MAC, an address always has the same one", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const conf = box.conf({ runtimeConfig: { ips: ADDRESSES } });
    const first = box.add(a, conf).interfaces[2]?.mac;
    box.call("DEL", a, conf);
    expect(box.add(b, conf).interfaces[2]?.mac).toBe(first ?? "");
  });
});

/** What lists the tracked connections of both families; null where nothing can. */
const LISTING =
  Bun.which("conntrack") !== null
    ? "conntrack -L 2>/dev/null; conntrack -L -f ipv6 2>/dev/null"
    : existsSync("/proc/net/nf_conntrack")
      ? "cat /proc/net/nf_conntrack"
      : null;
if (LISTING === null) process.stderr.write("reuse: skipped, no conntrack and no /proc/net/nf_conntrack\n");

/** The tracked connections that an address has a part in, one a line. */
function entriesOf(box: Sandbox, address: string): string[] {
  // conntrack(8) shortens IPv6 addresses, /proc does not.
  const ends = new Set([address, expand(address)].flatMap((text) => [`src=${text}`, `dst=${text}`]));
  const lines = new Set(box.node("sh", "-c", LISTING ?? "true").split("\n"));
  return [...lines].filter((line) => line.split(" ").some((word) => ends.has(word)));
}

function expand(address: string): string {
  const [head = "", tail] = address.split("::");
  if (tail === undefined) return address;
  const [front, back] = [head.split(":"), tail.split(":")];
  const middle: string[] = new Array(8 - front.length - back.length).fill("0");
  return [...front, ...middle, ...back].map((group) => group.padStart(4, "0")).join(":");
}

async function exchange(from: Pod, to: string, listener: string): Promise<void> {
  const echo = await startEcho(listener);
  const prober = await openProber(from.netns);
  try {
    expect((await prober.ask(to, 8, 500)).rttMs).not.toBeNull();
  } finally {
    prober.close();
    echo.close();
  }
}

describe.skipIf(LISTING === null)("the tracked connections of a released address", () => {
  async function talking() {
    const box = new Sandbox();
    const [world, a, b] = [box.pod(), box.pod(), box.pod()];
    connectOutside(box, world.netns);
    const conf = box.conf({ ipMasq: true });
    const [own, others] = [addressesOf(box.add(a, conf)), addressesOf(box.add(b, conf))];
    for (const pod of [a, b]) for (const to of OUTSIDE) await exchange(pod, to, world.netns);
    for (const address of [...own, ...others]) expect(entriesOf(box, address).length).toBeGreaterThan(0);
    return { box, a, b, conf, own, others };
  }

  test("go with DEL, of both families; those of other pods stay", async () => {
    const { box, a, conf, own, others } = await talking();
    expect(box.call("DEL", a, conf).exitCode).toBe(0);
    expect(own.flatMap((address) => entriesOf(box, address))).toEqual([]);
    for (const address of others) expect(entriesOf(box, address).length).toBeGreaterThan(0);
  });

  test("go with GC, of both families; those of other pods stay", async () => {
    const { box, b, conf, own, others } = await talking();
    const valid = [{ containerID: b.id, ifname: "eth0" }];
    expect(box.call("GC", b, { ...conf, "cni.dev/valid-attachments": valid }).exitCode).toBe(0);
    expect(own.flatMap((address) => entriesOf(box, address))).toEqual([]);
    for (const address of others) expect(entriesOf(box, address).length).toBeGreaterThan(0);
  });

  test("go as well when the address stands behind a Service (DNAT)", async () => {
    const box = new Sandbox();
    const [client, server] = [box.pod(), box.pod()];
    const conf = box.conf({ ipMasq: true });
    box.add(client, conf);
    const [backend = ""] = addressesOf(box.add(server, conf));
    const words = ["-t", "nat", "-A", "PREROUTING", "-d", "10.96.0.10", "-j", "DNAT"];
    box.node("iptables", ...words, "--to-destination", backend);
    await exchange(client, "10.96.0.10", server.netns);
    expect(entriesOf(box, "10.96.0.10")).toHaveLength(1);
    expect(box.call("DEL", server, conf).exitCode).toBe(0);
    expect(entriesOf(box, "10.96.0.10")).toEqual([]);
  });
});

test("a released address rests until the search comes round to it (next-fit), in both families", () => {
  const box = new Sandbox();
  const ranges = [[{ subnet: "10.7.0.0/29" }], [{ subnet: "fd00:7::/125", rangeEnd: "fd00:7::6" }]];
  const conf = box.conf({}, { ranges, routes: [] });
  const [a, b, ...others] = box.pods(6);
  if (a === undefined || b === undefined) throw new Error("six pods were made");
  box.add(a, conf);
  box.add(b, conf);
  box.call("DEL", a, conf);
  box.call("DEL", b, conf);
  const given = others.map((pod) => addressesOf(box.add(pod, conf)).map((text) => text.slice(-1)));
  expect(given).toEqual(["4", "5", "6", "2"].map((last) => [last, last]));
});
