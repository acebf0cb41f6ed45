import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createOffloadProbe, type ProbedTunnel } from "../../src/entry/agent/offload.ts";
import { createHost } from "../../src/host/linux.ts";
import { inNetns } from "../../src/host/netns.ts";
import { askRefusal } from "../../src/host/probe.ts";
import { type Address, type Family, formatAddress, parseAddress } from "../../src/net/address.ts";
import { destroySandboxes, must, run, Sandbox } from "./sandbox.ts";

afterAll(destroySandboxes);

const host = createHost();
const DEVICE = "minicni.vxlan";
const MTU = 1430;
const SMALL_BYTES = 32;
/** IPPROTO_UDP. */
const UDP = 17;

interface End {
  readonly sandbox: Sandbox;
  readonly outer: string;
  readonly vtep: Address;
  readonly mac: string;
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

/** Two nodes on one cable, with a tunnel between them. */
function connect(family: Family): readonly [End, End] {
  const end = (number: number): End => ({
    sandbox: new Sandbox(),
    outer: family === 4 ? `192.0.2.${number}` : `2001:db8::${number}`,
    vtep: address(family === 4 ? `10.244.${number}.0` : `fd00:244:${number}::`),
    mac: `02:00:00:00:00:0${number}`,
  });
  const ends = [end(1), end(2)] as const;
  const [a, b] = ends;
  must(
    "ip",
    "-n",
    a.sandbox.name,
    "link",
    "add",
    "uplink",
    "type",
    "veth",
    "peer",
    "uplink",
    "netns",
    b.sandbox.name,
  );
  for (const [self, peer] of [ends, [b, a] as const]) {
    const ip = (...words: string[]) => must("ip", "-n", self.sandbox.name, ...words);
    const bits = family === 4 ? 32 : 128;
    const vxlan = ["type", "vxlan", "id", "157", "dstport", "8472", "local", self.outer, "nolearning"];
    ip("link", "set", "uplink", "up");
    ip(
      "address",
      "add",
      `${self.outer}/${family === 4 ? 24 : 64}`,
      "dev",
      "uplink",
      ...(family === 6 ? ["nodad"] : []),
    );
    ip("link", "add", DEVICE, "address", self.mac, "mtu", String(MTU), ...vxlan);
    ip("link", "set", DEVICE, "up");
    ip(
      "address",
      "add",
      `${formatAddress(self.vtep)}/${bits}`,
      "dev",
      DEVICE,
      ...(family === 6 ? ["nodad"] : []),
    );
    ip("route", "add", `${formatAddress(peer.vtep)}/${bits}`, "dev", DEVICE);
    ip("neighbour", "add", formatAddress(peer.vtep), "lladdr", peer.mac, "dev", DEVICE, "nud", "permanent");
    must("bridge", "-n", self.sandbox.name, "fdb", "add", peer.mac, "dev", DEVICE, "dst", peer.outer);
  }
  return ends;
}

function bytesOf({ family, value }: Address): number[] {
  const length = family === 4 ? 4 : 16;
  return Array.from({ length }, (_, index) => Number((value >> BigInt(8 * (length - 1 - index))) & 0xffn));
}

/**
 * What stands in the checksum field of a UDP packet as long as nobody has finished it: the sum over the pseudo header
 * alone (RFC 768; RFC 8200 §8.1), which is what the kernel leaves there for the NIC to add the rest to.
 */
function unfinishedChecksum(from: Address, to: Address, payloadBytes: number): number {
  const bytes = [...bytesOf(from), ...bytesOf(to), 0, UDP, 0, payloadBytes + 8];
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2)
    sum += (bytes[index] ?? 0) * 256 + (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/**
 * A NIC that sends packets as they are, on the way from `from`: what comes out with an unfinished checksum is lost, as
 * any receiver behind a real cable would drop it. (A veth passes the kernel's note "still to be finished" along, so
 * that in a sandbox nothing would be lost.)
 */
function breakNic(from: End, to: End): void {
  const wrong = unfinishedChecksum(from.vtep, to.vtep, SMALL_BYTES);
  const isV4 = from.vtep.family === 4;
  // From the outer UDP header: itself, VXLAN, Ethernet, the inner IP header, then 6 bytes into the inner UDP header.
  const bits = (8 + 8 + 14 + (isV4 ? 20 : 40) + 6) * 8;
  const lines = [
    "table inet nic {",
    "chain lost {",
    "type filter hook prerouting priority -300",
    `iifname "uplink" udp dport 8472 @th,${bits},16 ${wrong} counter drop`,
    "}",
    "}",
  ];
  const path = `${to.sandbox.dir}/nic.nft`;
  writeFileSync(path, `${lines.join("\n")}\n`);
  to.sandbox.node("nft", "-f", path);
}

/** The probe of one end, inside of its namespace; it ends a round at once with whoever answers. */
function probeOf(self: End, peer: End) {
  const { netns } = self.sandbox;
  const told: string[] = [];
  const probe = createOffloadProbe({
    host: {
      sleep: (ms) => Bun.sleep(Math.min(ms, 100)),
      txChecksum: (name) => inNetns(netns, () => host.txChecksum(name)),
      executeEach: (plan) => host.executeEach(plan.map((step) => ({ ...step, netns }))),
    },
    journal: {
      info: (event) => void told.push(event),
      warn: (event, fields) => void told.push(`${event} ${fields?.cause}`),
      state: (_key, fault, fields) =>
        void told.push(`${fault} ${fields?.cured ?? fields?.cause ?? ""}`.trim()),
    },
    metrics: { offload: () => undefined, repair: () => undefined },
    now: () => performance.now(),
    ask: (request) => askRefusal({ ...request, netns, timeoutMs: 300 }),
  });
  const index = Number(must("ip", "-n", self.sandbox.name, "-o", "link", "show", DEVICE).split(":")[0]);
  const tunnel: ProbedTunnel = {
    name: DEVICE,
    index,
    underlay: `uplink ${self.outer}`,
    mtu: MTU,
    self: self.vtep,
    peers: [peer.vtep],
  };
  return {
    resync: () => probe.resync([tunnel]),
    told,
    isOn: () => inNetns(netns, () => host.txChecksum(DEVICE)),
  };
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !holds() && Date.now() < end; ) await Bun.sleep(20);
}

/** Whether a small datagram of one end arrives whole at the other. */
const arrives = (from: End, to: End) =>
  askRefusal({ address: to.vtep, bytes: SMALL_BYTES, timeoutMs: 300, netns: from.sandbox.netns });

describe.each([4, 6] as const)("a tunnel over IPv%d", (family) => {
  test("keeps its checksum offload where it works", async () => {
    const [a, b] = connect(family);
    const probe = probeOf(a, b);
    probe.resync();
    await until(() => probe.told.length > 0);
    expect([probe.told.at(-1), probe.isOn()]).toEqual(["checksum offload works", true]);
  }, 30_000);

  test("loses it where packets with unfinished checksums are lost, on both sides at once", async () => {
    const [a, b] = connect(family);
    breakNic(a, b);
    breakNic(b, a);
    const probes = [probeOf(a, b), probeOf(b, a)];
    const ping = ["nsenter", `--net=${a.sandbox.netns}`, "ping", "-c", "1", "-W", "2", formatAddress(b.vtep)];
    expect([run(ping).exitCode, await arrives(a, b), await arrives(b, a)]).toEqual([0, false, false]);
    for (const probe of probes) probe.resync();
    await until(() => probes.every(({ told }) => told.length > 1));
    for (const { told, isOn } of probes) {
      expect([told.at(-1), isOn()]).toEqual(["is broken here, switched off true", false]);
    }
    expect([await arrives(a, b), await arrives(b, a)]).toEqual([true, true]);
  }, 30_000);

  test("keeps it where nothing comes through at all", async () => {
    const [a, b] = connect(family);
    b.sandbox.node("ip", "link", "set", DEVICE, "down");
    const probe = probeOf(a, b);
    probe.resync();
    // Three tries each way and some more.
    await Bun.sleep(1_500);
    probe.resync();
    expect([probe.told, probe.isOn()]).toEqual([[], true]);
  }, 30_000);
});
