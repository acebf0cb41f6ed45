import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { asksForBandwidth, parseBandwidth } from "../../../src/cni/bandwidth.ts";
import { parseNetConf } from "../../../src/cni/config.ts";
import { CniError } from "../../../src/cni/errors.ts";
import { canonicalKeys } from "../../../src/cni/keys.ts";
import { thrown } from "../../twin/words.ts";

const MAX_UINT32 = 4294967295;
const raw = (more: object) => parseNetConf(canonicalKeys({ cniVersion: "1.0.0", name: "pods", ...more })).raw;
const asked = (bandwidth: object) => raw({ runtimeConfig: { bandwidth } });

describe("limits", () => {
  test("are none where nobody asks", () => {
    const none = [
      {},
      { runtimeConfig: {} },
      { runtimeConfig: { bandwidth: null } },
      { runtimeConfig: { bandwidth: {} } },
      { ingressRate: 0, ingressBurst: 0, egressRate: 0, egressBurst: 0 },
    ];
    for (const conf of none) {
      expect(parseBandwidth(raw(conf))).toEqual({ ingress: null, egress: null });
      expect(asksForBandwidth(raw(conf))).toBe(false);
    }
  });

  test("are bits in the configuration, bytes from here on; a part of a byte is cut off", () => {
    const conf = asked({ ingressRate: 8_000_007, ingressBurst: 80_001, egressRate: 16, egressBurst: 8 });
    expect(parseBandwidth(conf)).toEqual({
      ingress: { rate: 1_000_000, burst: 10_000 },
      egress: { rate: 2, burst: 1 },
    });
    expect(asksForBandwidth(conf)).toBe(true);
  });

  test("of one direction leave the other free", () => {
    expect(parseBandwidth(asked({ egressRate: 80, egressBurst: 800 }))).toEqual({
      ingress: null,
      egress: { rate: 10, burst: 100 },
    });
  });

  test("are found under the names that containerd writes", () => {
    const conf = asked({ IngressRate: 80, IngressBurst: MAX_UINT32, EgressRate: 80, EgressBurst: 800 });
    expect(parseBandwidth(conf)).toEqual({
      ingress: { rate: 10, burst: null },
      egress: { rate: 10, burst: 100 },
    });
  });

  test("of the file are before those of the runtime, all of them together: no annotation lifts a limit", () => {
    const file = { ingressRate: 160, ingressBurst: 160 };
    const bandwidth = { ingressRate: 80, ingressBurst: 80, egressRate: 80, egressBurst: 80 };
    expect(parseBandwidth(raw({ runtimeConfig: { bandwidth } })).egress).toEqual({ rate: 10, burst: 10 });
    expect(parseBandwidth(raw({ ...file, runtimeConfig: { bandwidth } }))).toEqual({
      ingress: { rate: 20, burst: 20 },
      egress: null,
    });
    // All zero is no wish.
    const zero = raw({ ingressRate: 0, runtimeConfig: { bandwidth } });
    expect(parseBandwidth(zero).ingress).toEqual({ rate: 10, burst: 10 });
  });

  test.each([
    [{ ingressRate: 80 }, "if rate is set, burst must also be set", "ingressRate=80, "],
    [{ egressBurst: 80 }, "if burst is set, rate must also be set", "egressRate=0, "],
    [{ egressBurst: MAX_UINT32 }, "if burst is set, rate must also be set", `egressBurst=${MAX_UINT32}; `],
    [{ ingressRate: 80, ingressBurst: 8 * MAX_UINT32 }, "burst cannot be more than 4GB", "; wanted: less"],
    [
      { ingressRate: -1, ingressBurst: 80 },
      "invalid ingressRate: -1",
      "runtimeConfig.bandwidth.ingressRate=-1",
    ],
    [{ egressRate: 80, egressBurst: -80 }, "invalid egressBurst: -80", "a whole number of bits"],
    [{ egressRate: 80.5, egressBurst: 80 }, "invalid egressRate: 80.5", "a whole number of bits per second"],
    [{ egressRate: 7, egressBurst: 80 }, "egressRate is too low: 7", "at least 8 bits per second"],
    [
      { ingressRate: 1e15 + 8, ingressBurst: 80 },
      "ingressRate is too high: 1000000000000008",
      "at most 1000",
    ],
    [{ ingressRate: 1e300, ingressBurst: 80 }, "ingressRate is too high: 1e+300", "at most"],
  ])("%j is refused with code 7: %s", (bandwidth, message, details) => {
    expect(thrown(() => parseBandwidth(asked(bandwidth)))).toMatchObject({
      code: 7,
      message,
      details: expect.stringContaining(details),
    });
    expect(asksForBandwidth(asked(bandwidth))).toBe(true);
  });

  test("of any number are a byte at least, or refused with code 7", () => {
    const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.nat(), fc.maxSafeNat());
    fc.assert(
      fc.property(number, number, (egressRate, egressBurst) => {
        try {
          const { ingress, egress } = parseBandwidth(asked({ egressRate, egressBurst }));
          expect(ingress).toBeNull();
          if (egress === null) expect([egressRate, egressBurst].every((it) => it === 0)).toBe(true);
          else expect(Number.isInteger(egress.rate) && egress.rate >= 1 && egress.rate <= 1.25e14).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(CniError);
          expect(error).toMatchObject({ code: 7, details: expect.stringContaining("; wanted: ") });
        }
      }),
    );
  });
});
