import { describe, expect, test } from "bun:test";
import type { TokenBucket } from "../../../../src/plan/step.ts";
import { thrown } from "../../../twin/words.ts";
import { encoded, golden } from "./golden.ts";

const BUCKET: TokenBucket = { dev: "v0", rate: 1_000_000, burst: 5000, limit: 30_000 };
const tbf = (more: Partial<TokenBucket>) => encoded({ op: "qdisc.tbf", ...BUCKET, ...more });

describe("a bucket", () => {
  test("below 2^32 bytes/s", () => {
    expect(tbf({})).toBe(
      golden(`
        60000000 2400 0506 07000000 00000000   // 96 bytes, RTM_NEWQDISC, REQUEST|ACK|EXCL|CREATE
        00000000 02000000 00000100 ffffffff 00000000 // struct tcmsg: index 2, handle 1:, TC_H_ROOT
        0800 0100 74626600                     // TCA_KIND "tbf"
        3400 0280                              // TCA_OPTIONS, nested
          2800 0100                            //   TCA_TBF_PARMS: struct tc_tbf_qopt
            00 01 0000 0000 0000 40420f00      //     rate: TC_LINKLAYER_ETHERNET, 1,000,000
            00000000 00000000 00000000         //     no peak rate
            30750000 00000000 00000000         //     limit 30,000
          0800 0600 88130000                   //   TCA_TBF_BURST 5000
      `),
    );
  });

  test("of more than 32 bits has its rate twice: cut, and whole", () => {
    const rate = 2 ** 33 + 5;
    expect(tbf({ rate })).toBe(
      golden(`
        6c000000 2400 0506 07000000 00000000
        00000000 02000000 00000100 ffffffff 00000000
        0800 0100 74626600
        4000 0280
          2800 0100
            00 01 0000 0000 0000 ffffffff
            00000000 00000000 00000000
            30750000 00000000 00000000
          0c00 0400 0500000002000000           //   TCA_TBF_RATE64
          0800 0600 88130000
      `),
    );
  });

  test("that fits into 32 bits by a hair has it once", () => {
    expect(tbf({ rate: 2 ** 32 - 1, burst: 2 ** 32 - 1 })).toContain(golden("0800 0600 ffffffff"));
    expect(tbf({ rate: 2 ** 32 - 1 })).toHaveLength(2 * 0x60);
    expect(tbf({ rate: 2 ** 32 })).toContain(golden("0c00 0400 0000000001000000"));
  });

  const NONE: readonly Partial<TokenBucket>[] = [
    { rate: 0 },
    { rate: -1 },
    { rate: 0.5 },
    { rate: Number.NaN },
    { rate: 2 ** 53 },
    { burst: 0 },
    { burst: 2 ** 32 },
    { burst: 1.5 },
    { limit: 0 },
    { limit: 2 ** 32 },
  ];
  test.each(NONE)("that is none is refused: %j", (more) => {
    expect(thrown(() => tbf(more))).toMatchObject({
      name: "HostError",
      message: expect.stringContaining("v0 can't send at"),
    });
  });
});

test("a place for filters", () => {
  expect(encoded({ op: "qdisc.ingress", dev: "v0" })).toBe(
    golden(`
      30000000 2400 0506 07000000 00000000
      00000000 02000000 0000ffff f1ffffff 00000000 // handle ffff:, TC_H_INGRESS
      0c00 0100 696e677265737300                   // TCA_KIND "ingress"
    `),
  );
});

test("a redirection of all", () => {
  expect(encoded({ op: "filter.redirect", dev: "v0", to: "br0" })).toBe(
    golden(`
      8c000000 2c00 0506 07000000 00000000         // RTM_NEWTFILTER
      00000000 02000000 00000000 0000ffff 00030000 // parent ffff:, ETH_P_ALL in network order
      0800 0100 75333200                           // TCA_KIND "u32"
      6000 0280                                    // TCA_OPTIONS, nested
        3800 0780                                  //   TCA_U32_ACT, nested
          3400 0180                                //     the first action
            0b00 0100 6d697272656400 00            //       TCA_ACT_KIND "mirred"
            2400 0280                              //       TCA_ACT_OPTIONS, nested
              2000 0200                            //         TCA_MIRRED_PARMS: struct tc_mirred
                00000000 00000000 04000000         //           index, capab, TC_ACT_STOLEN
                00000000 00000000                  //           refcnt, bindcnt
                01000000 03010000                  //           TCA_EGRESS_REDIR, index 259
        2400 0500                                  //   TCA_U32_SEL: struct tc_u32_sel
          01 00 01 00 0000 0000 0000 0000 00000000 //     TC_U32_TERMINAL, one key
          00000000 00000000 00000000 00000000      //     mask, value, offset, its mask: all matches
    `),
  );
});
