import { describe, expect, test } from "bun:test";
import { parseBatchOutput, toBatches } from "../../../src/host/batch.ts";
import { HOST, type Operation, type Step } from "../../../src/plan/step.ts";

const step = (operation: Operation, netns = HOST): Step => ({ ...operation, netns, why: "a test" });
const remove = (name: string, netns = HOST) => step({ op: "link.del", name }, netns);
const STEPS = ["a", "b", "c", "d"].map((name) => remove(name));

function parsed(stderr: string, timedOut = false, steps: readonly Step[] = STEPS): string[] {
  return parseBatchOutput(steps, { stderr, timedOut }).map(
    ({ index, isCut, message, tried }) =>
      `${index}${isCut === true ? " cut" : ""} tried ${tried}: ${message}`,
  );
}

describe("the output of a batch", () => {
  test("names each bad line with what was said of it", () => {
    const stderr =
      'Cannot find device "a"\nCommand failed -:1\nError: ipv4: Nexthop\n has invalid gateway.\nCommand failed -:3\n';
    expect(parsed(stderr)).toEqual([
      '0 tried 1: Cannot find device "a"',
      "2 tried 3: Error: ipv4: Nexthop; has invalid gateway.",
    ]);
  });

  test("names the reason alone where tc says more behind it", () => {
    const stderr = `Error: Parent Qdisc doesn't exists.
We have an error talking to the kernel
Command failed -:1
Cannot find device "x"
bad action parsing
parse_action: bad value (5:mirred)!
Illegal "action"
Command failed -:2
`;
    expect(parsed(stderr)).toEqual([
      "0 tried 1: Error: Parent Qdisc doesn't exists.",
      '1 tried 2: Cannot find device "x"',
    ]);
  });

  test("may say nothing of a bad line", () => {
    expect(parsed("Command failed -:2\n")).toEqual(["1 tried 2: no message"]);
  });

  test("a step that the kernel refuses as a whole has changed nothing", () => {
    const steps = [remove("a"), { ...remove("b"), isAtomic: true } as const];
    expect(parsed("File exists\nCommand failed -:2\n", false, steps)).toEqual(["1 tried 1: File exists"]);
  });

  test("without any line's number: the tool ended at one that is not known", () => {
    expect(parsed('Error: argument "x" is wrong\n')).toEqual([
      'null cut tried 4: Error: argument "x" is wrong',
    ]);
    expect(parsed("")).toEqual(["null cut tried 4: no message"]);
  });

  test("words behind the last number: the tool ended at a line further on", () => {
    expect(parsed('No\nCommand failed -:1\nError: argument "x" is wrong\n')).toEqual([
      "0 tried 1: No",
      'null cut tried 4: Error: argument "x" is wrong',
    ]);
  });

  test("a warning of a step that was done is no end", () => {
    expect(parsed("No\nCommand failed -:1\nWarning: deprecated\n")).toEqual(["0 tried 1: No"]);
    expect(parsed("No\nCommand failed -:4\nbye\n")).toEqual(["3 tried 4: No"]);
  });

  test("of a tool that was killed: nothing is known of the others", () => {
    expect(parsed("No\nCommand failed -:2\n", true)).toEqual([
      "1 tried 2: No",
      "null tried 4: no answer in time, killed; ",
    ]);
  });
});

describe("batches", () => {
  test("are of neighbours that share tool and namespace; rules stand alone", () => {
    const rules = step({ op: "rules.nft", lines: ["list ruleset"] });
    const sysctl = step({ op: "sysctl.set", key: "net/ipv4/ip_forward", value: "1", optional: false });
    const vlan = step({ op: "vlan.del", dev: "a", vid: 1 });
    const offload = step({ op: "link.offload", name: "a", txChecksum: false });
    const queue = step({ op: "qdisc.ingress", dev: "a" });
    const redirect = step({ op: "filter.redirect", dev: "a", to: "b" });
    const plan = [
      remove("a"),
      remove("b"),
      remove("c", "/n"),
      sysctl,
      sysctl,
      rules,
      rules,
      vlan,
      queue,
      redirect,
      offload,
      offload,
      remove("d"),
    ];
    const batches = toBatches(plan, "iproute2");
    expect(batches.map(({ steps }) => steps.length)).toEqual([2, 1, 2, 1, 1, 1, 2, 1, 1, 1]);
    expect(batches.flatMap(({ steps }) => steps)).toEqual(plan);
    for (const { steps, commands } of batches) expect(commands).toHaveLength(steps.length);
  });

  test("by netlink, what `ip`, `bridge` and `tc` would do goes together; the rest as ever", () => {
    const offload = step({ op: "link.offload", name: "a", txChecksum: false });
    const sysctl = step({ op: "sysctl.set", key: "net/ipv4/ip_forward", value: "1", optional: false });
    const plan = [
      step({ op: "link.set", name: "a", set: { up: true } }),
      step({ op: "vlan.del", dev: "a", vid: 1 }),
      step({ op: "qdisc.tbf", dev: "a", rate: 1, burst: 1, limit: 1 }),
      remove("b"),
      remove("c", "/n"),
      sysctl,
      sysctl,
      remove("d"),
      step({ op: "netns.add", name: "x" }),
      step({ op: "netns.del", name: "x" }),
      offload,
      remove("e"),
      remove("f"),
    ];
    const batches = toBatches(plan, "netlink");
    expect(batches.map(({ steps, commands }) => [steps.length, commands?.length ?? null])).toEqual([
      [4, null],
      [1, null],
      [2, 2],
      [1, null],
      [2, 2],
      [1, 1],
      [2, null],
    ]);
    expect(batches.flatMap(({ steps }) => steps)).toEqual(plan);
  });

  test("by netlink, no line has to be written: what could not stand in one is no fault", () => {
    const plan = [remove("a"), remove("ü b"), step({ op: "netns.add", name: "ü b" })];
    const faults: Step[] = [];
    const batches = toBatches(plan, "netlink", (it) => faults.push(it));
    expect(batches).toEqual([{ steps: plan.slice(0, 2), commands: null }]);
    expect(faults).toEqual(plan.slice(2));
    expect(() => toBatches(plan.slice(1), "iproute2")).toThrow(RangeError);
  });
});
