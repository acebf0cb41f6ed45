import { describe, expect, test } from "bun:test";
import {
  iperfReceiverArgv,
  iperfSenderArgv,
  parseReceived,
} from "../../../../src/entry/bench/network/iperf.ts";
import { limitCases, limitKeys } from "../../../../src/entry/bench/network/limited.ts";

const names = (isQuick: boolean, ...families: (4 | 6)[]) =>
  limitCases(isQuick, families).map(({ scenario }) => scenario);

describe("limits that are measured", () => {
  test("are from 1 Mbit/s to 1 Gbit/s, one with a burst, and one by IPv6 where there is IPv6", () => {
    const common = ["1 Mbit/s", "10 Mbit/s", "100 Mbit/s", "1 Gbit/s", "10 Mbit/s, burst of 0.1 s"];
    const all = common.map((rate) => `limit of ${rate}`);
    expect(names(false, 4, 6)).toEqual([...all, "limit of 100 Mbit/s, IPv6"]);
    expect(names(false, 4)).toEqual(all);
    expect(names(true, 4)).toEqual(["limit of 10 Mbit/s"]);
  });

  test("take longer and small pieces where they are slow, and are measured together", () => {
    const cases = limitCases(false, [4]).map(({ isSlow, stream }) => [isSlow, stream.seconds, stream.piece]);
    expect(cases).toEqual([
      [true, 5, 4096],
      [true, 2, 4096],
      [false, 2, null],
      [false, 2, null],
      [true, 2, 4096],
    ]);
  });

  test("are asked for as containerd does, in bits, or with a burst in seconds of the rate", () => {
    const rates = { ingressRate: 10_000_000, egressRate: 10_000_000 };
    const unknown = 4_294_967_295;
    expect(limitKeys(10, null)).toEqual({ ...rates, ingressBurst: unknown, egressBurst: unknown });
    expect(limitKeys(10, 0.1)).toEqual({ ...rates, ingressBurst: 1_000_000, egressBurst: 1_000_000 });
  });
});

describe("a stream through a limit", () => {
  test("has ends that tell what there was when they have to be ended", () => {
    const place = { address: "10.0.0.2", family: 4, port: 5201 } as const;
    const request = { ...place, seconds: 2, processor: null, congestion: null };
    expect(iperfReceiverArgv(request).join(" ")).toBe(
      "timeout -s TERM -k 8 3 iperf3 --server --one-off -4 --bind 10.0.0.2 --port 5201 --json --interval 0.5",
    );
    expect(iperfSenderArgv(request, 4096).join(" ")).toBe(
      "timeout -s TERM -k 8 3 iperf3 --client 10.0.0.2 -4 --port 5201 --time 2 --json --connect-timeout 1000 --length 4096",
    );
  });

  /** A receiver's report: bytes of half seconds, one after the other. */
  const report = (...bytes: number[]) =>
    JSON.stringify({
      intervals: bytes.map((count, index) => ({
        sum: { start: index * 0.5001, seconds: 0.5, bytes: count, omitted: false },
      })),
      error: "interrupt - the server has terminated",
    });

  test("is counted with its burst, and without its first half second", () => {
    expect(parseReceived(report(250_000, 62_500, 62_500, 62_500), 2, 0.5)).toEqual({
      whole: 1.75,
      steady: 1,
    });
  });

  test("is not counted beyond its time, in which a queue runs empty", () => {
    expect(parseReceived(report(62_500, 62_500, 62_500, 62_500, 9, 0), 2, 0.5)).toEqual({
      whole: 1,
      steady: 1,
    });
  });

  test("has a beginning as long as it is told", () => {
    const text = report(250_000, 125_000, 62_500, 62_500);
    expect(parseReceived(text, 2, 1)).toEqual({ whole: 2, steady: 1 });
  });

  test("may bring nothing, or have a warning in front", () => {
    expect(parseReceived(report(0, 0, 0, 0), 2, 0.5)).toEqual({ whole: 0, steady: 0 });
    const warned = `WARNING:  Size of data read does not correspond\n${report(62_500, 62_500, 0, 0)}`;
    expect(parseReceived(warned, 1, 0.5)).toEqual({ whole: 1, steady: 1 });
  });

  test.each(["", "no JSON", '{"intervals":[]}', '{"error":"no"}', report(62_500)])(
    "is missing in %j",
    (text) => {
      expect(parseReceived(text, 2, 0.5)).toBeNull();
    },
  );
});
