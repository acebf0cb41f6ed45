import { describe, expect, test } from "bun:test";
import { describeLimits, ifbOf, type Limits, limitFault } from "../../../src/topology/bandwidth.ts";
import { fakeLink } from "../../twin/network.ts";

const quiet = () => undefined;
const both = (rate: number, burst: number | null) => ({ ingress: { rate, burst }, egress: null });

describe("describeLimits", () => {
  test("takes 20 ms of the rate for a burst that nobody chose, more of a slow one", () => {
    const bursts = [125_000, 1_250_000, 12_500_000, 125_000_000].map(
      (rate) => describeLimits(both(rate, null), 1500, quiet).ingress?.burst,
    );
    expect(bursts).toEqual([32_768, 62_500, 250_000, 2_500_000]);
  });

  test("fits into the kernel's 32 bits at any rate", () => {
    expect(describeLimits(both(1.25e14, null), 1500, quiet).ingress?.burst).toBe(0xffffffff);
  });

  test("leaves a chosen burst alone that holds a full packet, and raises and tells any other", () => {
    const told: unknown[] = [];
    const tell = (...all: unknown[]) => told.push(all);
    expect(describeLimits(both(1000, 1514), 1500, tell).ingress).toEqual({ rate: 1000, burst: 1514 });
    expect(told).toEqual([]);
    const wish = { ingress: { rate: 1000, burst: 1513 }, egress: { rate: 1000, burst: 0 } };
    expect(describeLimits(wish, 1500, tell)).toEqual({
      ingress: { rate: 1000, burst: 1514 },
      egress: { rate: 1000, burst: 1514 },
    });
    expect(told).toEqual([
      ["ingress", 1513, 1514],
      ["egress", 0, 1514],
    ]);
  });

  test("gives a large MTU its packet although nobody chose a burst, in silence", () => {
    const told: unknown[] = [];
    const { ingress } = describeLimits(both(1000, null), 65_535, (...all) => told.push(all));
    expect(ingress?.burst).toBe(65_549);
    expect(told).toEqual([]);
  });
});

test("only what the pod sends takes an ifb", () => {
  const key = { network: "pods", containerId: "c1", ifname: "eth0" };
  const port = { key, hostVeth: "mcni63935ca0bad", mtu: 1500 };
  const limit = { rate: 1000, burst: 2000 };
  const of = (limits: Limits) => ifbOf({ ...port, ...limits });
  expect(of({ ingress: limit, egress: null })).toBeNull();
  expect(of({ ingress: null, egress: limit })).toBe("mcnii63935ca0ba");
});

describe("limitFault", () => {
  const link = fakeLink({ name: "mcni0123456789a" });
  const limit = { rate: 125_000, burst: 65_536 };
  const bucket = { ...limit, limit: 65_536 + 3125 };

  test("passes what the kernel tells of the limit, its burst in ticks of 64 ns", () => {
    for (const burst of [65_536, 65_535]) {
      expect(limitFault(link, { bucket: { ...bucket, burst }, redirectedTo: null }, limit)).toBeNull();
    }
  });

  test.each([
    [null, "mcni0123456789a has no limit, wanted a limit of 1000000 bit/s with a burst of 524288 bits"],
    [{ ...bucket, rate: 250_000 }, "has a limit of 2000000 bit/s with a burst of 524288 bits, wanted"],
    [{ ...bucket, burst: 60_000 }, "has a limit of 1000000 bit/s with a burst of 480000 bits, wanted"],
  ])("tells %j", (found, fault) => {
    expect(limitFault(link, { bucket: found, redirectedTo: null }, limit)).toContain(fault);
  });
});
