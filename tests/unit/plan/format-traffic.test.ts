import { describe, expect, test } from "bun:test";
import { formatOperation, formatStep } from "../../../src/plan/format.ts";
import { HOST, type Operation } from "../../../src/plan/step.ts";
import { thrown } from "../../twin/words.ts";

describe("traffic control", () => {
  const commands: [Operation, string][] = [
    [
      { op: "link.set", name: "a", set: { allmulti: true, promisc: false, txQueueLength: 500 } },
      "ip link set dev a promisc off allmulticast on txqueuelen 500",
    ],
    [
      { op: "link.set", name: "a", set: { allmulti: false, txQueueLength: 0, up: true } },
      "ip link set dev a allmulticast off txqueuelen 0 up",
    ],
    [
      { op: "qdisc.tbf", dev: "a", rate: 125_000, burst: 5000, limit: 9000 },
      "tc qdisc add dev a root handle 1: tbf rate 1000000bit burst 5000b limit 9000b",
    ],
    [
      { op: "qdisc.tbf", dev: "a", rate: 50_000_000_000, burst: 2 ** 32 - 1, limit: 1 },
      "tc qdisc add dev a root handle 1: tbf rate 400000000000bit burst 4294967295b limit 1b",
    ],
    [{ op: "qdisc.ingress", dev: "a" }, "tc qdisc add dev a handle ffff: ingress"],
    [
      { op: "filter.redirect", dev: "a", to: "ifb0" },
      "tc filter add dev a parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb0",
    ],
  ];

  test.each(commands.map(([operation, text]) => [text, operation] as const))(
    "writes %s",
    (text, operation) => {
      expect(formatStep({ ...operation, netns: HOST, why: "a test" })).toBe(text);
    },
  );

  test.each(["a#b", "-n"])("refuses the device %j, which tc -batch would misread", (dev) => {
    expect(thrown(() => formatOperation({ op: "filter.redirect", dev: "a", to: dev }))).toMatchObject({
      name: "RangeError",
      message: `word ${JSON.stringify(dev)} can't stand in a tc batch`,
    });
  });

  test("has a tool of its own", () => {
    expect(formatOperation({ op: "qdisc.ingress", dev: "a" })).toEqual({
      tool: "tc",
      words: ["qdisc", "add", "dev", "a", "handle", "ffff:", "ingress"],
    });
  });
});
