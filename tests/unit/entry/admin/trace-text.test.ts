import { describe, expect, test } from "bun:test";
import type { Row, TracedVerb, TraceReport } from "../../../../src/entry/admin/trace/report.ts";
import { formatTrace } from "../../../../src/entry/admin/trace/text.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";

const PLAIN = { width: null, paint: createPaint(false) };
const row = (step: string, startMs: number, durationMs: number, what = "", calls = 1): Row => {
  return { step, what, calls, startMs, durationMs };
};
const ADD: TracedVerb = {
  verb: "ADD",
  totalMs: 8,
  ownMs: 1,
  fault: null,
  rows: [
    row("lock", 0, 0.125, "/run/minicni/attachments.lock"),
    row("links looked at", 0.5, 0.25, "", 3),
    row("program", 1, 2, `iptables -w 10 ${"x".repeat(90)}`),
    row("links, addresses, routes", 3, 4, "2 steps: link.add, link.set"),
  ],
};
const DEL: TracedVerb = {
  verb: "DEL",
  totalMs: 20,
  ownMs: 0.5,
  rows: [row("links removed", 0, 19.5)],
  fault: null,
};
const REPORT: TraceReport = {
  minicni: "1.0.0",
  isSimulated: false,
  config: "/etc/cni/net.d/10-minicni.conflist",
  network: "minicni",
  cniVersion: "1.1.0",
  others: [],
  containerId: "minicni-trace-0123abcd",
  isEach: false,
  runs: [[ADD, DEL]],
  served: null,
  notServed: null,
};

describe("a trace as text", () => {
  test("one run: each step where it began", () => {
    expect(
      formatTrace(REPORT, PLAIN),
    ).toBe(`network    minicni (CNI 1.1.0) of /etc/cni/net.d/10-minicni.conflist
node       this one
container  minicni-trace-0123abcd

ADD  8.00 ms
step                      start    ms  share         what
lock                       0.00  0.13  ▎░░░░░░░░░░░  minicni/attachments.lock
links looked at            0.50  0.25  ▍░░░░░░░░░░░  ×3
program                    1.00  2.00  ███░░░░░░░░░  iptables -w 10 ${"x".repeat(57)}…
links, addresses, routes   3.00  4.00  ██████░░░░░░  2 steps: link.add, link.set
minicni itself                   1.00  █▌░░░░░░░░░░  between the steps

DEL  20.00 ms
step            start     ms  share         what
links removed    0.00  19.50  ███████████▊
minicni itself          0.50  ▎░░░░░░░░░░░  between the steps

ADD 8.00 ms, DEL 20.00 ms; all went well, all of it is taken back
`);
  });

  test("many runs, simulated, step by step, with plugins that were left out", () => {
    const runs = [[ADD], [{ ...ADD, totalMs: 10, ownMs: 3 }]];
    const text = formatTrace(
      { ...REPORT, runs, isSimulated: true, isEach: true, others: ["portmap"] },
      PLAIN,
    );
    expect(text).toBe(`network    minicni (CNI 1.1.0) of /etc/cni/net.d/10-minicni.conflist
node       simulated: a namespace of its own, this node is not touched
container  minicni-trace-0123abcd
runs       2
left out   plugins that a runtime calls as well: portmap
plans      run step by step: their sum is larger than that of a plan that is run at once

ADD  9.00 ms
step                      calls   min  median    max  share
lock                          1  0.13    0.13   0.13  ▏░░░░░░░░░░░
links looked at               3  0.25    0.25   0.25  ▍░░░░░░░░░░░
program: iptables             1  2.00    2.00   2.00  ██▋░░░░░░░░░
links, addresses, routes      1  4.00    4.00   4.00  █████▍░░░░░░
minicni itself                   1.00    2.00   3.00  ██▋░░░░░░░░░
in all                           8.00    9.00  10.00

ADD 9.00 ms; all went well, all of it is taken back
`);
  });

  test("a verb that failed, and calls through an agent", () => {
    const failed = { ...DEL, fault: "code 11: try again" };
    const verbs = [{ verb: "ADD" as const, wallMs: [1, 3, 2], fault: null }];
    const served = { program: "/opt/cni/bin/minicni", socket: "/run/minicni/cni.sock", verbs };
    const text = formatTrace({ ...REPORT, runs: [[failed]], served, notServed: "no agent" }, PLAIN);
    expect(text).toContain("DEL  20.00 ms  failed\n");
    expect(text).toContain("\n  code 11: try again\n");
    expect(text).toContain(
      "as a runtime calls it: /opt/cni/bin/minicni, and the agent behind /run/minicni/cni.sock; from start to exit, in ms\n" +
        "verb   min  median   max  fault\nADD   1.00    2.00  3.00\n",
    );
    expect(text).toEndWith(
      "not timed through an agent: no agent\nDEL 20.00 ms; 1 call failed, all of it is taken back\n",
    );
  });

  test("a narrow screen cuts nothing off", () => {
    const text = formatTrace(REPORT, { ...PLAIN, width: 40 });
    expect(text).toContain("\nlock\n  start: 0.00\n  ms: 0.13\n");
  });
});
