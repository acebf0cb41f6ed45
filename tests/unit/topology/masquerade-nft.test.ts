import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import type { MasqueradeWish } from "../../../src/topology/masquerade.ts";
import {
  hasNftMasquerade,
  masqueradeTable,
  planNftMasquerade,
  planNftUnmasquerade,
} from "../../../src/topology/masquerade-nft.ts";
import { prefix } from "../../twin/words.ts";

const WISH: MasqueradeWish = {
  network: "pods",
  subnets: ["10.1.0.0/24", "10.2.0.0/24", "fd00::/64"].map(prefix),
  exempt: ["10.0.0.0/8", "fd00:244::/48"].map(prefix),
};

/** As `nft list table` prints it: a set of one element is written without braces. */
const LISTED = `table inet minicni_masq_0b51ffc2 {
	chain digest_67f7b446 {
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr { 10.0.0.0/8, 224.0.0.0/4 } return
		ip saddr { 10.1.0.0/24, 10.2.0.0/24 } masquerade fully-random
		ip6 daddr { fd00::/64, fd00:244::/48, ff00::/8 } return
		ip6 saddr fd00::/64 masquerade fully-random
	}
}
`;

describe("planNftMasquerade", () => {
  test("of two families replaces one table, whole; no prefix of a set holds another", () => {
    expect(formatPlan(planNftMasquerade(WISH))).toBe(`# masquerade what leaves network pods
nft -f - <<'EOF'
add table inet minicni_masq_0b51ffc2
delete table inet minicni_masq_0b51ffc2
table inet minicni_masq_0b51ffc2 {
  chain digest_67f7b446 {
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip daddr { 10.0.0.0/8, 224.0.0.0/4 } return
    ip saddr { 10.1.0.0/24, 10.2.0.0/24 } masquerade fully-random
    ip6 daddr { fd00::/64, fd00:244::/48, ff00::/8 } return
    ip6 saddr { fd00::/64 } masquerade fully-random
  }
}
EOF
`);
  });

  test("says nothing of a family without subnet", () => {
    const text = formatPlan(planNftMasquerade({ ...WISH, subnets: [prefix("10.1.0.0/24")] }));
    expect(text).toContain("ip saddr { 10.1.0.0/24 } masquerade fully-random");
    expect(text).not.toContain("ip6");
  });

  test("of no subnet at all removes the table", () => {
    expect(planNftMasquerade({ ...WISH, subnets: [] })).toEqual(planNftUnmasquerade("pods"));
  });
});

test("planNftUnmasquerade removes the table, there or not", () => {
  expect(formatPlan(planNftUnmasquerade("pods"))).toBe(`# network pods has no attachment left
nft -f - <<'EOF'
add table inet minicni_masq_0b51ffc2
delete table inet minicni_masq_0b51ffc2
EOF
`);
});

describe("hasNftMasquerade", () => {
  test("knows the table as nft lists it", () => {
    expect(hasNftMasquerade(WISH, LISTED)).toBe(true);
    const shuffled = { ...WISH, subnets: WISH.subnets.toReversed(), exempt: WISH.exempt.toReversed() };
    expect(hasNftMasquerade(shuffled, LISTED)).toBe(true);
  });

  test.each([
    ["there is none", ""],
    ["its rules were flushed", LISTED.replace(/^\t\tip.*\n/gm, "")],
    ["it is of other rules", LISTED.replace("digest_67f7b446", "digest_00000000")],
  ])("misses it when %s", (_when, listed) => expect(hasNftMasquerade(WISH, listed)).toBe(false));

  test("misses it when the wish has changed", () => {
    expect(hasNftMasquerade({ ...WISH, exempt: [prefix("10.244.0.0/16")] }, LISTED)).toBe(false);
    expect(hasNftMasquerade({ ...WISH, subnets: WISH.subnets.slice(1) }, LISTED)).toBe(false);
  });
});

test("masqueradeTable is one for each network, with our mark", () => {
  const tables = ["pods", "pods2"].map(masqueradeTable);
  expect(new Set(tables).size).toBe(2);
  for (const table of tables) expect(table).toMatch(/^minicni_masq_[0-9a-f]{8}$/);
});
