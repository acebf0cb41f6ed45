import { describe, expect, test } from "bun:test";
import { FAMILIES } from "../../../src/net/address.ts";
import type { HostPortClaim } from "../../../src/net/host-port.ts";
import { describeHostPorts } from "../../../src/topology/host-ports.ts";
import {
  hostPortTable,
  parseHostPortTable,
  planHostPortTable,
} from "../../../src/topology/host-ports-nft.ts";
import { claim } from "./host-ports-words.ts";

const tableFor = (claims: readonly HostPortClaim[]) =>
  hostPortTable(FAMILIES.map((family) => describeHostPorts(claims, family)));

/** What is added to an empty table, a line each. */
function made(claims: readonly HostPortClaim[]): string {
  return planHostPortTable(tableFor(claims), null)
    .flatMap((step) => (step.op === "rules.nft" ? step.lines : []))
    .filter((line) => !/^(add|delete) table /.test(line))
    .map((line) => line.replace(/^add (\w+) inet minicni_hostports /, "$1 "))
    .join("\n");
}

describe("hostPortTable", () => {
  test("all of two groups and both families, in words that nft reads", () => {
    const claims = [
      claim(5, ["tcp 8080 80", "sctp [2001:db8::1]:9 99"], { localhost: true }),
      claim(6, ["udp 53 53"], { conditions: { 4: ["ip", "saddr", "192.0.2.9"], 6: [] } }),
    ];
    expect(made(claims)).toBe(`chain digest_970233d3
chain group_66126f79
map any4_66126f79 { type inet_proto . inet_service : ipv4_addr . inet_service ; }
map own4_66126f79 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }
rule group_66126f79 ip saddr 10.7.0.0/24 meta mark set meta mark or 0x2000
rule group_66126f79 ip saddr 127.0.0.0/8 meta mark set meta mark or 0x2000
rule group_66126f79 meta nfproto ipv4 meta l4proto { 6, 17, 132 } dnat ip to ip daddr . meta l4proto . th dport map @own4_66126f79
rule group_66126f79 meta nfproto ipv4 meta l4proto { 6, 17, 132 } dnat ip to meta l4proto . th dport map @any4_66126f79
rule group_66126f79 meta nfproto ipv4 meta mark set meta mark and 0xffffdfff
chain group_ae00a360
map any4_ae00a360 { type inet_proto . inet_service : ipv4_addr . inet_service ; }
map own4_ae00a360 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }
rule group_ae00a360 ip saddr 10.7.0.0/24 meta mark set meta mark or 0x2000
rule group_ae00a360 ip daddr != 127.0.0.0/8 udp dport 53 ip saddr 192.0.2.9 dnat ip to 10.7.0.6:53
rule group_ae00a360 meta nfproto ipv4 meta mark set meta mark and 0xffffdfff
map any6_66126f79 { type inet_proto . inet_service : ipv6_addr . inet_service ; }
map own6_66126f79 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service ; }
rule group_66126f79 ip6 saddr fd00:7::/64 meta mark set meta mark or 0x2000
rule group_66126f79 ip6 daddr != ::1 meta l4proto { 6, 17, 132 } dnat ip6 to ip6 daddr . meta l4proto . th dport map @own6_66126f79
rule group_66126f79 ip6 daddr != ::1 meta l4proto { 6, 17, 132 } dnat ip6 to meta l4proto . th dport map @any6_66126f79
rule group_66126f79 meta nfproto ipv6 meta mark set meta mark and 0xffffdfff
map any6_ae00a360 { type inet_proto . inet_service : ipv6_addr . inet_service ; }
map own6_ae00a360 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service ; }
rule group_ae00a360 ip6 saddr fd00:7::/64 meta mark set meta mark or 0x2000
rule group_ae00a360 ip6 daddr != ::1 meta l4proto { 6, 17, 132 } dnat ip6 to ip6 daddr . meta l4proto . th dport map @own6_ae00a360
rule group_ae00a360 ip6 daddr != ::1 meta l4proto { 6, 17, 132 } dnat ip6 to meta l4proto . th dport map @any6_ae00a360
rule group_ae00a360 meta nfproto ipv6 meta mark set meta mark and 0xffffdfff
chain hostports
rule hostports jump group_66126f79
rule hostports jump group_ae00a360
chain prerouting { type nat hook prerouting priority -95 ; }
rule prerouting fib daddr type local jump hostports
chain output { type nat hook output priority -95 ; }
rule output fib daddr type local jump hostports
chain postrouting { type nat hook postrouting priority 95 ; }
rule postrouting meta mark and 0x2000 == 0x2000 masquerade fully-random
chain localnet { type filter hook prerouting priority -300 ; }
rule localnet iifname "br0" ip daddr 127.0.0.0/8 drop
element any4_66126f79 { 6 . 8080 : 10.7.0.5 . 80 }
element any6_66126f79 { 6 . 8080 : fd00:7::5 . 80 }
element own6_66126f79 { 2001:db8::1 . 132 . 9 : fd00:7::5 . 99 }
element any6_ae00a360 { 17 . 53 : fd00:7::6 . 53 }`);
  });

  test("no host port is no table", () => {
    expect(tableFor([])).toBeNull();
    expect(planHostPortTable(null, null)).toEqual([]);
  });

  test("without snat nothing is marked, and nothing masqueraded", () => {
    const text = made([claim(5, ["tcp 80 80"], { snat: false })]);
    expect(text).not.toContain("mark");
    expect(text).not.toContain("masquerade");
  });
});

describe("parseHostPortTable", () => {
  test("reads what nft 1.0.6 lists: names for protocols, elements over several lines, maps without any", () => {
    expect(
      parseHostPortTable(`table inet minicni_hostports {
	map any4_4fe38490 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { udp . 53 : 10.9.0.2 . 53,
			     tcp . 8080 : 10.9.0.2 . 80 }
	}

	map own4_4fe38490 {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
		elements = { 127.0.0.1 . sctp . 9 : 10.9.0.2 . 99 }
	}

	map own6_4fe38490 {
		type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
	}

	map any6_4fe38490 {
		type inet_proto . inet_service : ipv6_addr . inet_service
		elements = { sctp . 7 : fd09::2 . 99 }
	}

	chain digest_cba39fe9 {
	}

	chain group_4fe38490 {
		meta l4proto { tcp, udp, sctp } dnat ip to ip daddr . meta l4proto . th dport map @own4_4fe38490
		meta nfproto ipv4 meta mark set meta mark & 0xffffdfff
	}

	chain prerouting {
		type nat hook prerouting priority dstnat + 5; policy accept;
		fib daddr type local jump hostports
	}
}
`),
    ).toEqual({
      digest: "digest_cba39fe9",
      rules: 3,
      elements: new Map([
        ["any4_4fe38490", ["17 . 53 : 10.9.0.2 . 53", "6 . 8080 : 10.9.0.2 . 80"]],
        ["own4_4fe38490", ["127.0.0.1 . 132 . 9 : 10.9.0.2 . 99"]],
        ["own6_4fe38490", []],
        ["any6_4fe38490", ["132 . 7 : fd09::2 . 99"]],
      ]),
    });
  });

  test("numbers in place of names, on a machine without /etc/protocols", () => {
    const listed =
      "table inet minicni_hostports {\n\tmap any4_4fe38490 {\n\t\telements = { 6 . 80 : 10.9.0.2 . 80 }\n\t}\n}\n";
    expect(parseHostPortTable(listed).elements.get("any4_4fe38490")).toEqual(["6 . 80 : 10.9.0.2 . 80"]);
  });

  test("a table that somebody flushed has no rules", () => {
    expect(parseHostPortTable("table inet minicni_hostports {\n\tchain output {\n\t}\n}\n")).toEqual({
      digest: null,
      rules: 0,
      elements: new Map(),
    });
  });
});
