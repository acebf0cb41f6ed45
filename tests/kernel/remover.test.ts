import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Answer, Order, Report } from "./remover-main.ts";
import { removerArgv } from "./remover-main.ts";
import { destroySandboxes, must, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

interface Node {
  readonly box: Sandbox;
  readonly pod: string;
}

/** A node with a bridge, whose ports are pairs of `w…` and, in a pod, `e…`. */
function nodeWithPairs(names: readonly string[]): Node {
  const box = new Sandbox();
  const pod = box.pod().netns;
  const lines = [
    "link add br0 type bridge",
    "link set br0 up",
    "link add foreign type veth peer name foreignx",
    "link set foreign group 77",
    ...names.flatMap((name) => [
      `link add ${name} type veth peer name ${name.replace("w", "e")} netns ${pod}`,
      `link set ${name} master br0 up`,
    ]),
  ];
  const done = run(["nsenter", `--net=${box.netns}`, "ip", "-batch", "-"], {
    stdin: `${lines.join("\n")}\n`,
  });
  expect(done).toMatchObject({ exitCode: 0, stderr: "" });
  return { box, pod };
}

function carryOut({ box, pod }: Node, order: Omit<Order, "pod">): readonly Answer[] {
  const report: Report = JSON.parse(must(...removerArgv(box.netns, { ...order, pod })));
  const [before, after] = report.descriptors;
  expect(after).toBe(before);
  return report.answers;
}

/** Links of the node by `ip link`, with the group of those that are in one. */
function links({ box }: Node): string[] {
  const shown: { readonly ifname: string; readonly group: string }[] = JSON.parse(
    box.node("ip", "-N", "-j", "link", "show"),
  );
  return shown.map(({ ifname, group }) => (group === "0" ? ifname : `${ifname} of ${group}`)).sort();
}

const OTHERS = ["br0", "foreign of 77", "foreignx", "lo"];
const gone = (name: string): Answer => ({ name, refusal: null, isThere: false, isPeerThere: false });
const missing = (name: string): Answer => ({ ...gone(name), refusal: `Cannot find device "${name}"` });
const NAMES = Array.from({ length: 60 }, (_, index) => `w${index}`);

describe("removing links without waiting in this thread", () => {
  test("one: it is gone, and the pod's end too, when that is told", () => {
    const node = nodeWithPairs(["w0", "w1"]);
    expect(carryOut(node, { rounds: [["w0"]] })).toEqual([gone("w0")]);
    expect(links(node)).toEqual([...OTHERS, "w1"]);
  });

  test("60 at once: all are gone, and no other link", () => {
    const node = nodeWithPairs(NAMES);
    expect(carryOut(node, { rounds: [NAMES] })).toEqual(NAMES.map(gone));
    expect(links(node)).toEqual(OTHERS);
  });

  test("missing ones among them are told, each by itself; the others are gone", () => {
    const node = nodeWithPairs(NAMES.slice(0, 10));
    const names = ["nosuch1", ...NAMES.slice(0, 5), "nosuch2", ...NAMES.slice(5, 10), "nosuch3"];
    expect(carryOut(node, { rounds: [names] })).toEqual(
      names.map((name) => (name.startsWith("nosuch") ? missing(name) : gone(name))),
    );
    expect(carryOut(node, { rounds: [["nosuch1"], ["nosuch1", "nosuch2"]] })).toEqual(
      ["nosuch1", "nosuch1", "nosuch2"].map(missing),
    );
    expect(links(node)).toEqual(OTHERS);
  });

  test("one that can't be removed is told, and stays in no group of ours; the others are gone", () => {
    const node = nodeWithPairs(NAMES.slice(0, 4));
    const rounds = [["w0", "lo", "w1"], ["lo"]];
    const refused: Answer = {
      name: "lo",
      refusal: "RTNETLINK answers: Operation not supported",
      isThere: true,
      isPeerThere: true,
    };
    expect(carryOut(node, { rounds })).toEqual([gone("w0"), refused, gone("w1"), refused]);
    expect(links(node)).toEqual([...OTHERS, "w2", "w3"]);
  });

  test("one that is wished twice at once is removed once; each wish has its answer", () => {
    const node = nodeWithPairs(["w0", "w1"]);
    const answers = carryOut(node, { rounds: [["w0", "w1", "w0"]] });
    expect(answers.map(({ name, refusal }) => `${name}: ${refusal}`)).toEqual([
      "w0: null",
      "w1: null",
      'w0: Cannot find device "w0"',
    ]);
    expect(links(node)).toEqual(OTHERS);
  });

  test("both ends of a pair at once: both are gone", () => {
    const node = nodeWithPairs([]);
    const answers = carryOut(node, { rounds: [["foreign", "foreignx"]] });
    expect(answers).toEqual([gone("foreign"), gone("foreignx")]);
  });

  test("the names can be used again at once, over and over", () => {
    const names = NAMES.slice(0, 8);
    const node = nodeWithPairs(names);
    const rounds = [names, ["w3"], names.slice(4), names];
    expect(carryOut(node, { rounds, isMadeAgain: true })).toEqual(rounds.flat().map(gone));
    expect(links(node)).toEqual([...OTHERS, ...names]);
  });
});

describe("a plan that removes links by it", () => {
  test("goes on behind those that are refused, where each is run", () => {
    const node = nodeWithPairs(["w0", "w1"]);
    const rounds = [["w0", "nosuch", "w1"]];
    expect(carryOut(node, { rounds, until: "each" })).toEqual([gone("w0"), missing("nosuch"), gone("w1")]);
  });

  test("ends at the first one that is refused, otherwise", () => {
    const node = nodeWithPairs(["w0", "w1"]);
    const answers = carryOut(node, { rounds: [["w0", "nosuch", "w1"]], until: "first" });
    expect(answers.map(({ name, isThere }) => `${name} ${isThere}`)).toEqual([
      "w0 false",
      "nosuch false",
      "w1 true",
      " false",
    ]);
    expect(answers.at(-1)?.refusal).toContain('`ip link del dev nosuch` failed: Cannot find device "nosuch"');
    expect(links(node)).toEqual([...OTHERS, "w1"]);
  });
});
