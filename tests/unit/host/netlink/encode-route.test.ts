import { describe, expect, test } from "bun:test";
import { address, prefix } from "../../../twin/words.ts";
import { encoded, golden, MAC } from "./golden.ts";

describe("addresses and routes", () => {
  test("an address of IPv6 without detection of duplicates", () => {
    const given = { dev: "v0", prefix: prefix("fd00::2/64"), nodad: true } as const;
    expect(encoded({ op: "addr.replace", ...given })).toBe(
      golden(`
        40000000 1400 0505 07000000 00000000 // RTM_NEWADDR, REQUEST|ACK|REPLACE|CREATE
        0a 40 02 00 02000000                 // AF_INET6, /64, IFA_F_NODAD, global, index 2
        1400 0200 fd000000000000000000000000000002 // IFA_LOCAL
        1400 0100 fd000000000000000000000000000002 // IFA_ADDRESS
      `),
    );
  });

  test("an address of the loopback net is of scope host; deleted, of none", () => {
    const given = { dev: "v0", prefix: prefix("127.0.0.2/8") } as const;
    expect(encoded({ op: "addr.replace", ...given, nodad: false })).toContain(golden("02 08 00 fe 02000000"));
    expect(encoded({ op: "addr.del", ...given })).toContain(
      golden("1500 0500 07000000 00000000 02 08 00 00"),
    );
  });

  test("a route with all that it may have", () => {
    const route = {
      dst: prefix("10.9.0.0/16"),
      via: address("10.0.0.9"),
      dev: "v0",
      protocol: 157,
      metric: 7,
      table: 1000,
      mtu: 1400,
      advmss: 1360,
      onlink: true,
    } as const;
    expect(encoded({ op: "route.append", route })).toBe(
      golden(`
        58000000 1800 050c 07000000 00000000 // RTM_NEWROUTE, REQUEST|ACK|CREATE|APPEND
        02 10 00 00                          // AF_INET, /16, no source, no TOS
        00 9d 00 01                          // table by its attribute, protocol 157, scope global, RTN_UNICAST
        04000000                             // RTNH_F_ONLINK
        0800 0100 0a090000                   // RTA_DST
        0800 0500 0a000009                   // RTA_GATEWAY
        0800 0400 02000000                   // RTA_OIF
        0800 0600 07000000                   // RTA_PRIORITY
        0800 0f00 e8030000                   // RTA_TABLE 1000
        1400 0880                            // RTA_METRICS, nested
          0800 0200 78050000                 //   RTAX_MTU
          0800 0800 50050000                 //   RTAX_ADVMSS
      `),
    );
  });

  test("a default route has no destination; deleted, it says of type and protocol nothing", () => {
    const route = { dst: prefix("::/0"), dev: "v0" };
    expect(encoded({ op: "route.del", route })).toBe(
      golden(`
        24000000 1900 0500 07000000 00000000 // RTM_DELROUTE
        0a 00 00 00 fe 00 00 00 00000000     // AF_INET6, main table
        0800 0400 02000000                   // RTA_OIF
      `),
    );
    expect(encoded({ op: "route.del", route: { dst: prefix("0.0.0.0/0"), dev: "" } })).toBe(
      golden(`
        1c000000 1900 0500 07000000 00000000
        02 00 00 00 fe 00 ff 00 00000000     // scope nowhere: any
      `),
    );
  });

  test("a gateway of the other family is a struct rtvia", () => {
    const route = { dst: prefix("10.9.0.0/16"), via: address("fd00::9"), dev: "" };
    expect(encoded({ op: "route.replace", route })).toBe(
      golden(`
        3c000000 1800 0505 07000000 00000000 // REQUEST|ACK|REPLACE|CREATE
        02 10 00 00 fe 03 00 01 00000000     // main table, RTPROT_BOOT
        0800 0100 0a090000
        1600 1200 0a00 fd000000000000000000000000000009 0000 // RTA_VIA: AF_INET6, address
      `),
    );
  });

  test.each([
    ["local", "ff 03 fe 02"],
    ["broadcast", "ff 03 fd 03"],
    ["anycast", "ff 03 fd 04"],
    ["multicast", "fe 03 fd 05"],
    ["blackhole", "fe 03 00 06"],
    ["unreachable", "fe 03 00 07"],
    ["prohibit", "fe 03 00 08"],
    ["throw", "fe 03 00 09"],
  ] as const)("a %s route: table, protocol, scope and type", (type, bytes) => {
    const route = { dst: prefix("10.9.0.0/16"), dev: "", type };
    expect(encoded({ op: "route.append", route })).toContain(golden(`02 10 00 00 ${bytes} 00000000`));
  });
});

describe("neighbours, forwarding and VLANs", () => {
  const known = { dev: "v0", address: address("10.0.0.9"), mac: MAC } as const;

  test("a neighbour that never ages, and one to forget", () => {
    expect(encoded({ op: "neigh.replace", ...known })).toBe(
      golden(`
        30000000 1c00 0505 07000000 00000000 // RTM_NEWNEIGH, REQUEST|ACK|REPLACE|CREATE
        02000000 02000000 8000 00 00         // struct ndmsg: AF_INET, index 2, NUD_PERMANENT
        0800 0100 0a000009                   // NDA_DST
        0a00 0200 0a580a000002 0000          // NDA_LLADDR
      `),
    );
    const forgotten = golden(`
        24000000 1c00 0505 07000000 00000000
        02000000 02000000 0000 00 00         // NUD_NONE, and no MAC
        0800 0100 0a000009
    `);
    expect(encoded({ op: "neigh.forget", dev: "v0", address: known.address })).toBe(forgotten);
    expect(encoded({ op: "neigh.del", ...known })).toBe(forgotten.replace("1c000505", "1d000500"));
  });

  test("where a tunnel sends frames for a MAC", () => {
    const entry = { dev: "v0", mac: MAC, dst: address("10.0.0.9") };
    const bytes = golden(`
        30000000 1c00 0505 07000000 00000000
        07000000 02000000 8000 02 00         // AF_BRIDGE, NUD_PERMANENT, NTF_SELF
        0a00 0200 0a580a000002 0000          // NDA_LLADDR
        0800 0100 0a000009                   // NDA_DST
    `);
    expect(encoded({ op: "fdb.replace", ...entry })).toBe(bytes);
    expect(encoded({ op: "fdb.del", ...entry })).toBe(bytes.replace("1c000505", "1d000500"));
  });

  test("a VLAN of a port, and one of the bridge itself", () => {
    expect(encoded({ op: "vlan.add", dev: "v0", vid: 5, pvid: true, untagged: true })).toBe(
      golden(`
        2c000000 1300 0500 07000000 00000000 // RTM_SETLINK
        07000000 02000000 00000000 00000000  // AF_BRIDGE, index 2
        0c00 1a80                            // IFLA_AF_SPEC, nested
          0800 0200 0600 0500                //   IFLA_BRIDGE_VLAN_INFO: PVID|UNTAGGED, 5
      `),
    );
    expect(encoded({ op: "vlan.del", dev: "br0", vid: 4094, self: true })).toBe(
      golden(`
        34000000 1100 0500 07000000 00000000 // RTM_DELLINK
        07000000 03010000 00000000 00000000
        1400 1a80
          0600 0000 0200 0000                //   IFLA_BRIDGE_FLAGS: BRIDGE_FLAGS_SELF
          0800 0200 0000 fe0f                //   4094
      `),
    );
  });
});
