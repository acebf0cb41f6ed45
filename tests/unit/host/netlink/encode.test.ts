import { describe, expect, test } from "bun:test";
import {
  isMessageOperation,
  type MessageOperation,
  writeOperation,
} from "../../../../src/host/netlink/encode.ts";
import { NoSuchLink } from "../../../../src/host/netlink/names.ts";
import { MessageWriter } from "../../../../src/host/netlink/writer.ts";
import { address, prefix, thrown } from "../../../twin/words.ts";
import { encoded, golden, hex, MAC, NAMES } from "./golden.ts";

describe("links", () => {
  test("a bridge with MAC and MTU", () => {
    const link = { kind: "bridge", name: "br0", mac: MAC, mtu: 1450 } as const;
    expect(encoded({ op: "link.add", link })).toBe(
      golden(`
        4c000000 1000 0506 07000000 00000000 // 76 bytes, RTM_NEWLINK, REQUEST|ACK|EXCL|CREATE, sequence 7
        00000000 00000000 00000000 00000000  // struct ifinfomsg
        0800 0300 62723000                   // IFLA_IFNAME "br0", with its zero
        0800 0400 aa050000                   // IFLA_MTU 1450
        0a00 0100 0a580a000002 0000          // IFLA_ADDRESS, filled up to four
        1000 1280                            // IFLA_LINKINFO, nested
          0b00 0100 62726964676500 00        //   IFLA_INFO_KIND "bridge"
      `),
    );
  });

  test("a veth whose far end is born elsewhere", () => {
    const peer = { name: "eth0", mtu: 1450, netns: "/run/netns/pod" };
    expect(encoded({ op: "link.add", link: { kind: "veth", name: "w0", peer } })).toBe(
      golden(`
        6c000000 1000 0506 07000000 00000000
        00000000 00000000 00000000 00000000
        0700 0300 773000 00                    // IFLA_IFNAME "w0"
        4400 1280                              // IFLA_LINKINFO, nested
          0900 0100 7665746800 000000          //   IFLA_INFO_KIND "veth"
          3400 0280                            //   IFLA_INFO_DATA, nested
            3000 0100                          //     VETH_INFO_PEER, not marked as nested
              00000000 00000000 00000000 00000000
              0900 0300 6574683000 000000      //       IFLA_IFNAME "eth0"
              0800 0400 aa050000               //       IFLA_MTU 1450
              0800 1c00 09000000               //       IFLA_NET_NS_FD 9
      `),
    );
  });

  test("a tunnel: its port alone is in network order", () => {
    const link = { kind: "vxlan", name: "vx", mac: MAC, mtu: 1450, vni: 157, port: 8472 } as const;
    const head = `
        0700 0300 767800 00
        0800 0400 aa050000
        0a00 0100 0a580a000002 0000`;
    expect(encoded({ op: "link.add", link: { ...link, local: address("10.0.0.1") } })).toBe(
      golden(`
        70000000 1000 0506 07000000 00000000
        00000000 00000000 00000000 00000000
        ${head}
        3400 1280
          0a00 0100 7678 6c616e00 0000         // IFLA_INFO_KIND "vxlan"
          2400 0280
            0800 0100 9d000000                 // IFLA_VXLAN_ID 157
            0800 0400 0a000001                 // IFLA_VXLAN_LOCAL
            0500 0700 00 000000                // IFLA_VXLAN_LEARNING off
            0600 0f00 2118 0000                // IFLA_VXLAN_PORT 8472
      `),
    );
    expect(encoded({ op: "link.add", link: { ...link, local: address("fd00::1") } })).toContain(
      golden("1400 1100 fd000000000000000000000000000001 // IFLA_VXLAN_LOCAL6"),
    );
  });

  test("settings of a port, up", () => {
    const set = { up: true, port: { hairpin: true, isolated: false } };
    expect(encoded({ op: "link.set", name: "v0", set })).toBe(
      golden(`
        44000000 1000 0500 07000000 00000000 // RTM_NEWLINK, REQUEST|ACK
        00000000 02000000 01000000 01000000  // index 2, IFF_UP, of the flags only that one
        2400 1280                            // IFLA_LINKINFO, nested
          0b00 0400 62726964676500 00        //   IFLA_INFO_SLAVE_KIND "bridge"
          1400 0580                          //   IFLA_INFO_SLAVE_DATA, nested
            0500 0400 01 000000              //     IFLA_BRPORT_MODE: hairpin
            0500 2100 00 000000              //     IFLA_BRPORT_ISOLATED off
      `),
    );
  });

  test("what is not set is not said: down, and promiscuous no more", () => {
    expect(encoded({ op: "link.set", name: "v0", set: { up: false, promisc: false } })).toBe(
      golden(`
        20000000 1000 0500 07000000 00000000
        00000000 02000000 00000000 01010000  // both flags change, to nothing
      `),
    );
  });

  test("a master, an alias without closing zero, no link-local address", () => {
    const set = { master: "br0", alias: "ü1", addrgenmode: "none" } as const;
    expect(encoded({ op: "link.set", name: "v0", set })).toBe(
      golden(`
        40000000 1000 0500 07000000 00000000
        00000000 02000000 00000000 00000000
        0800 0a00 03010000                   // IFLA_MASTER 259
        0700 1400 c3bc31 00                  // IFLA_IFALIAS in UTF-8
        1000 1a80                            // IFLA_AF_SPEC, nested
          0c00 0a80                          //   AF_INET6, nested
            0500 0800 01 000000              //     IFLA_INET6_ADDR_GEN_MODE none
      `),
    );
  });

  test("a queue's length, and every multicast frame but not every frame", () => {
    const set = { allmulti: true, promisc: false, txQueueLength: 77 };
    expect(encoded({ op: "link.set", name: "v0", set })).toBe(
      golden(`
        28000000 1000 0500 07000000 00000000
        00000000 02000000 00020000 00030000  // IFF_ALLMULTI, IFF_PROMISC not
        0800 0d00 4d000000                   // IFLA_TXQLEN 77
      `),
    );
  });

  test("a link to delete goes by its index", () => {
    expect(encoded({ op: "link.del", name: "br0" })).toBe(
      golden(`
        20000000 1100 0500 07000000 00000000 // RTM_DELLINK
        00000000 03010000 00000000 00000000
      `),
    );
  });
});

describe("what can't be written", () => {
  const faulty: readonly MessageOperation[] = [
    { op: "link.set", name: "nosuch", set: { up: true } },
    { op: "link.set", name: "v0", set: { mtu: 1400, master: "nosuch" } },
    { op: "link.del", name: "nosuch" },
    { op: "addr.replace", dev: "nosuch", prefix: prefix("10.0.0.1/24"), nodad: false },
    { op: "route.append", route: { dst: prefix("10.0.0.0/24"), dev: "nosuch" } },
    { op: "neigh.forget", dev: "nosuch", address: address("10.0.0.1") },
    { op: "fdb.del", dev: "nosuch", mac: MAC, dst: address("10.0.0.1") },
    { op: "vlan.add", dev: "nosuch", vid: 5 },
    { op: "qdisc.tbf", dev: "nosuch", rate: 1, burst: 1, limit: 1 },
    { op: "qdisc.ingress", dev: "nosuch" },
    { op: "filter.redirect", dev: "nosuch", to: "v0" },
    { op: "filter.redirect", dev: "v0", to: "nosuch" },
  ];

  for (const operation of faulty) {
    test(`leaves what stood before as it was: ${operation.op}`, () => {
      const writer = new MessageWriter();
      const good: MessageOperation = { op: "link.del", name: "v0" };
      writeOperation(writer, good, NAMES, 7, 0);
      const before = writer.length;
      expect(thrown(() => writeOperation(writer, operation, NAMES, 8))).toBeInstanceOf(NoSuchLink);
      writer.cut(before);
      writer.acknowledge();
      // The good one asks for an answer now.
      expect(hex(writer.written)).toBe(encoded(good));
    });
  }

  test("is all that is no message", () => {
    expect(isMessageOperation({ op: "link.offload", name: "v0", txChecksum: false })).toBe(false);
    expect(isMessageOperation({ op: "netns.add", name: "x" })).toBe(false);
    expect(isMessageOperation({ op: "rules.nft", lines: [] })).toBe(false);
    expect(isMessageOperation({ op: "file.link", path: "/a", target: "b", kind: "symbolic" })).toBe(false);
    expect(isMessageOperation({ op: "sysctl.set", key: "a", value: "1", optional: true })).toBe(false);
    for (const operation of faulty) expect(isMessageOperation(operation)).toBe(true);
  });
});
