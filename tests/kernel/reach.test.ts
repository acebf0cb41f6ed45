import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { askReach } from "../../src/host/reach.ts";
import { parseAddress } from "../../src/net/address.ts";
import { destroySandboxes, must, Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const box = new Sandbox();
const [near, far] = [box.pod(), box.pod()];
const inside = (netns: string, ...words: string[]) => must("nsenter", `--net=${netns}`, ...words);

/** near (10.1.0.2, fd01::2) — the router in the middle — far (10.2.0.2, fd02::2) by a link of 1400 bytes. */
function build(): void {
  // Or neighbours answer only once their link-local addresses are found to be theirs.
  for (const netns of [box.netns, near.netns, far.netns]) {
    for (const name of ["all", "default"])
      inside(netns, "sysctl", "-qw", `net.ipv6.conf.${name}.accept_dad=0`);
  }
  for (const [index, { netns }] of [near, far].entries()) {
    const number = index + 1;
    box.node("ip", "link", "add", `to${number}`, "type", "veth", "peer", "name", "eth0", "netns", netns);
    const ends = [
      [box.netns, `to${number}`, "1"],
      [netns, "eth0", "2"],
    ] as const;
    for (const [where, dev, last] of ends) {
      inside(where, "ip", "addr", "add", `10.${number}.0.${last}/24`, "dev", dev);
      inside(where, "ip", "addr", "add", `fd0${number}::${last}/64`, "dev", dev, "nodad");
      inside(where, "ip", "link", "set", dev, "up", "mtu", index === 0 ? "1500" : "1400");
    }
    inside(netns, "ip", "route", "add", "default", "via", `10.${number}.0.1`);
    inside(netns, "ip", "route", "add", "default", "via", `fd0${number}::1`);
  }
  box.node("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
}
build();

function ask(text: string, packetBytes: number, netns = near.netns) {
  const address = parseAddress(text);
  if (address === null) throw new Error(text);
  return askReach({ address, port: 33434, packetBytes, timeoutMs: 500, netns });
}

describe.each(["10.2.0.2", "fd02::2"])("towards %s", (address) => {
  test("a packet that fits is answered, with its time", async () => {
    expect(await ask(address, 1400)).toEqual({ kind: "answered", rttMs: expect.any(Number) });
  });

  test("one that a router can't hand on is too big: what fits, also when it is known already", async () => {
    for (const _ of [1, 2]) expect(await ask(address, 1500)).toEqual({ kind: "too big", mtu: 1400 });
  });

  test("one that its own link can't take is too big", async () => {
    expect((await ask(address, 1501)).kind).toBe("too big");
  });
});

test.each(["10.1.0.9", "fd01::9"])("nobody at %s: silent", async (address) => {
  expect(await ask(address, 100)).toEqual({ kind: "silent" });
});

test.each(["10.1.0.1", "fd01::1"])("a firewall at %s: silent", async (address) => {
  box.node("nft", "add", "table", "inet", "wall");
  box.node("nft", "add", "chain", "inet", "wall", "in", "{ type filter hook input priority 0; }");
  box.node("nft", "add", "rule", "inet", "wall", "in", "udp dport 33434 drop");
  expect(await ask(address, 100)).toEqual({ kind: "silent" });
  box.node("nft", "delete", "table", "inet", "wall");
});

test.each(["10.9.9.9", "fd09::9"])("no way to %s, here or at the router: unreachable", async (address) => {
  expect(await ask(address, 100)).toEqual({ kind: "unreachable" });
  expect(await ask(address, 100, box.netns)).toEqual({ kind: "unreachable" });
});

test("many at once: each has its own answer", async () => {
  const asked = ["10.2.0.2", "10.1.0.9", "fd02::2", "10.9.9.9"].map((address) => ask(address, 100));
  expect((await Promise.all(asked)).map(({ kind }) => kind)).toEqual([
    "answered",
    "silent",
    "answered",
    "unreachable",
  ]);
});
