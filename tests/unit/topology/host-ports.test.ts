import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Family } from "../../../src/net/address.ts";
import type { HostPortClaim } from "../../../src/net/host-port.ts";
import { describeHostPorts } from "../../../src/topology/host-ports.ts";
import { prefix } from "../../twin/words.ts";
import { chainsFor, claim } from "./host-ports-words.ts";

/** All chains in the order in which they are made. */
function text(claims: readonly HostPortClaim[], family: Family = 4): string {
  const { groups, dispatch, snat, localnet } = chainsFor(claims, family);
  return [...groups, dispatch, snat, localnet].flatMap((chain) => chain?.rules ?? []).join("\n");
}

const SNAT = "-A MINICNI-HOSTPORT-SNAT -m mark --mark 0x2000/0x2000 -j MASQUERADE --random-fully";

describe("hostPortChains", () => {
  test("IPv4: marks what comes from the pods' subnet, leads to the ports, takes the mark away", () => {
    expect(text([claim(5, ["tcp 8080 80", "udp 53 5353", "sctp 9 99"])])).toBe(
      `-A MINICNI-DNAT-4fe38490 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-DNAT-4fe38490 -p udp -m udp --dport 53 -j DNAT --to-destination 10.7.0.5:5353
-A MINICNI-DNAT-4fe38490 -p sctp -m sctp --dport 9 -j DNAT --to-destination 10.7.0.5:99
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j MINICNI-DNAT-4fe38490
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
${SNAT}`,
    );
  });

  test("IPv6", () => {
    expect(text([claim(5, ["tcp 8080 80"])], 6)).toBe(
      `-A MINICNI-DNAT-4fe38490 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:7::5]:80
-A MINICNI-HOSTPORTS -s fd00:7::/64 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS ! -d ::1/128 -j MINICNI-DNAT-4fe38490
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
${SNAT}`,
    );
  });

  const OWN = ["tcp 192.0.2.1:80 80", "tcp 0.0.0.0:81 80", "tcp [::]:82 80", "tcp [2001:db8::1]:83 80"];
  test.each([
    [
      4,
      `-A MINICNI-DNAT-4fe38490 -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-DNAT-4fe38490 -p tcp -m tcp --dport 81 -j DNAT --to-destination 10.7.0.5:80
`,
    ],
    [
      6,
      `-A MINICNI-DNAT-4fe38490 -p tcp -m tcp --dport 82 -j DNAT --to-destination [fd00:7::5]:80
-A MINICNI-DNAT-4fe38490 -d 2001:db8::1/128 -p tcp -m tcp --dport 83 -j DNAT --to-destination [fd00:7::5]:80
`,
    ],
  ] as const)("hostIP, IPv%d: one address, or all of the family", (family, expected) => {
    expect(text([claim(5, OWN)], family)).toStartWith(expected);
    expect(text([claim(5, OWN)], family).match(/DNAT --to/g)).toHaveLength(2);
  });

  test("networks and options apart are groups apart, each with its own mark", () => {
    const claims = [
      claim(5, ["tcp 80 80"]),
      claim(6, ["tcp 81 80"], { snat: false }),
      claim(7, ["tcp 82 80"], { markBit: 5 }, { network: "net2" }),
    ];
    expect(text(claims)).toBe(
      `-A MINICNI-DNAT-4fe38490 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-DNAT-963788af -p tcp -m tcp --dport 82 -j DNAT --to-destination 10.7.0.7:80
-A MINICNI-DNAT-f08e31d0 -p tcp -m tcp --dport 81 -j DNAT --to-destination 10.7.0.6:80
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j MINICNI-DNAT-4fe38490
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j MARK --set-xmark 0x20/0x20
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j MINICNI-DNAT-963788af
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x20
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j MINICNI-DNAT-f08e31d0
-A MINICNI-HOSTPORT-SNAT -m mark --mark 0x20/0x20 -j MASQUERADE --random-fully
${SNAT}`,
    );
  });

  test("masqAll: whoever asks is masqueraded", () => {
    expect(text([claim(5, ["tcp 80 80"], { masqAll: true })])).toBe(
      `-A MINICNI-DNAT-d8171d7b -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j MINICNI-DNAT-d8171d7b
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
${SNAT}`,
    );
  });

  test("a chain of another program marks in our place, and what it marked is not ours to masquerade", () => {
    expect(text([claim(5, ["tcp 80 80"], { externalSetMarkChain: "KUBE-MARK-MASQ" })])).toBe(
      `-A MINICNI-DNAT-9a4f8a6c -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j KUBE-MARK-MASQ
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -j MINICNI-DNAT-9a4f8a6c`,
    );
  });

  test("localhost: the node's programs are masqueraded, and pods reach nothing of it; of IPv6 nothing changes", () => {
    const claims = [claim(5, ["tcp 80 80"], { localhost: true })];
    expect(text(claims)).toBe(
      `-A MINICNI-DNAT-66126f79 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS -s 127.0.0.0/8 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS -j MINICNI-DNAT-66126f79
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
${SNAT}
-A MINICNI-LOCALNET -d 127.0.0.0/8 -i br0 -j DROP`,
    );
    const plain = text([claim(5, ["tcp 80 80"])], 6);
    expect(text(claims, 6)).toBe(plain.replaceAll("4fe38490", "66126f79"));
    expect(text([claim(5, ["tcp 80 80"], { localhost: true, snat: false })])).not.toContain("-s 10.7.0.0/24");
  });

  test("conditions stand in each rule of their family, and a digest of them where it is reached", () => {
    const claims = [claim(5, ["tcp 80 80"], { conditions: { 4: ["!", "-s", "192.0.2.0/24"], 6: [] } })];
    expect(text(claims)).toBe(
      `-A MINICNI-DNAT-d49faa25 -p tcp -m tcp --dport 80 ! -s 192.0.2.0/24 -j DNAT --to-destination 10.7.0.5:80
-A MINICNI-HOSTPORTS -s 10.7.0.0/24 -j MARK --set-xmark 0x2000/0x2000
-A MINICNI-HOSTPORTS ! -d 127.0.0.0/8 -m comment --comment digest-ffbcd43d -j MINICNI-DNAT-d49faa25
-A MINICNI-HOSTPORTS -j MARK --set-xmark 0x0/0x2000
${SNAT}`,
    );
    expect(text(claims, 6)).not.toContain("digest");
    const { groups } = chainsFor(claims);
    expect(groups.map(({ isReworded }) => isReworded)).toEqual([true]);
  });

  test("the highest mark is no negative number", () => {
    expect(text([claim(5, ["tcp 80 80"], { markBit: 31 })])).toContain("--set-xmark 0x80000000/0x80000000");
  });

  test("neither claims, nor claims of the other family alone, make a chain", () => {
    const four = claim(5, ["tcp 80 80"], {}, { targets: [prefix("10.7.0.5/24")] });
    const none = { dispatch: null, snat: null, groups: [], localnet: null };
    expect(chainsFor([], 4)).toEqual({ family: 4, ...none });
    expect(chainsFor([four], 6)).toEqual({ family: 6, ...none });
    expect(chainsFor([claim(5, ["tcp 192.0.2.1:80 80"])], 6)).toEqual({ family: 6, ...none });
  });

  test("pods of several subnets: each is known as a source", () => {
    const other = claim(6, ["tcp 81 80"], {}, { targets: [prefix("10.8.0.6/16")] });
    const sources = text([claim(5, ["tcp 80 80"]), other]).match(/-s \S+/g);
    expect(sources).toEqual(["-s 10.7.0.0/24", "-s 10.8.0.0/16"]);
  });
});

test("the order of the claims decides nothing but that of a group's ports", () => {
  const options = fc.record({ snat: fc.boolean(), markBit: fc.constantFrom(13, 14) });
  const claims = fc
    .uniqueArray(fc.record({ number: fc.integer({ min: 2, max: 40 }), options }), {
      selector: ({ number }) => number,
      maxLength: 8,
    })
    .map((list) => list.map(({ number, options }) => claim(number, [`tcp ${1000 + number} 80`], options)));
  const sorted = (list: readonly HostPortClaim[]) => {
    const { groups, ...rest } = describeHostPorts(list, 4);
    const byPort = groups.map(({ ports, ...group }) => ({
      ...group,
      ports: ports.toSorted((a, b) => a.port.hostPort - b.port.hostPort),
    }));
    return { ...rest, groups: byPort };
  };
  fc.assert(
    fc.property(claims, (list) => {
      expect(sorted(list.toReversed())).toEqual(sorted(list));
    }),
  );
});
