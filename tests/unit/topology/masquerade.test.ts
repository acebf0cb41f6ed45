import { describe, expect, test } from "bun:test";
import { parseRangeSets } from "../../../src/ipam/range.ts";
import { formatPrefix } from "../../../src/net/prefix.ts";
import { formatPlan } from "../../../src/plan/format.ts";
import {
  masqueradeChain,
  masqueradeJump,
  planMasquerade,
  planUnmasquerade,
  subnetsOf,
} from "../../../src/topology/masquerade.ts";

const SETS = parseRangeSets([
  [
    { subnet: "10.1.0.0/24", rangeEnd: "10.1.0.9" },
    { subnet: "10.1.0.0/24", rangeStart: "10.1.0.10" },
    { subnet: "10.2.0.0/24" },
  ],
  [{ subnet: "fd00::/64" }],
]);
const CHAIN = masqueradeChain("pods");

describe("masquerade", () => {
  test("of IPv4 is one restore of a static chain, whole", () => {
    expect(formatPlan(planMasquerade("pods", SETS, 4, true))).toBe(
      [
        "# masquerade what leaves network pods",
        "iptables-restore --noflush -w 10 <<'EOF'",
        "*nat",
        `:${CHAIN} - [0:0]`,
        `-A ${CHAIN} -d 10.1.0.0/24 -j RETURN`,
        `-A ${CHAIN} -d 10.2.0.0/24 -j RETURN`,
        `-A ${CHAIN} -d 224.0.0.0/4 -j RETURN`,
        `-A ${CHAIN} -s 10.1.0.0/24 -j MASQUERADE --random-fully`,
        `-A ${CHAIN} -s 10.2.0.0/24 -j MASQUERADE --random-fully`,
        `-I POSTROUTING 1 -m comment --comment minicni:pods -j ${CHAIN}`,
        "COMMIT",
        "EOF",
        "",
      ].join("\n"),
    );
  });

  test("of IPv6 goes by ip6tables, and leaves the jump out when it is there", () => {
    expect(formatPlan(planMasquerade("pods", SETS, 6, false))).toBe(
      [
        "# masquerade what leaves network pods",
        "ip6tables-restore --noflush -w 10 <<'EOF'",
        "*nat",
        `:${CHAIN} - [0:0]`,
        `-A ${CHAIN} -d fd00::/64 -j RETURN`,
        `-A ${CHAIN} -d ff00::/8 -j RETURN`,
        `-A ${CHAIN} -s fd00::/64 -j MASQUERADE --random-fully`,
        "COMMIT",
        "EOF",
        "",
      ].join("\n"),
    );
  });

  test("is taken away jump first, then the emptied chain", () => {
    expect(formatPlan(planUnmasquerade("pods", 4))).toBe(
      [
        "# network pods has no attachment left",
        "iptables-restore --noflush -w 10 <<'EOF'",
        "*nat",
        `:${CHAIN} - [0:0]`,
        `-D POSTROUTING -m comment --comment minicni:pods -j ${CHAIN}`,
        `-X ${CHAIN}`,
        "COMMIT",
        "EOF",
        "",
      ].join("\n"),
    );
  });

  test("has a chain of its own for each network, marked as ours and short enough", () => {
    const names = ["pods", "pods2", "a".repeat(200)].map(masqueradeChain);
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(/^MINICNI-[A-Z0-9a-f-]{1,20}$/);
    expect(masqueradeJump("pods").at(-1)).toBe(CHAIN);
  });

  test("covers each subnet of a family once", () => {
    expect(subnetsOf(SETS, 4).map(formatPrefix)).toEqual(["10.1.0.0/24", "10.2.0.0/24"]);
    expect(subnetsOf(SETS, 6).map(formatPrefix)).toEqual(["fd00::/64"]);
  });
});
