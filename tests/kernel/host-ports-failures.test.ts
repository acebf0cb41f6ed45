import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eachOf } from "./faults.ts";
import {
  type FailingRun,
  KINDS,
  type Kind,
  NO_PORTS,
  PortNode,
  runsOf,
  standIns,
} from "./host-ports-node.ts";
import { destroySandboxes, type Json } from "./sandbox.ts";
import { errorOf } from "./views.ts";

setDefaultTimeout(120_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const LOCAL: Json = { hostPortLocalhost: true };
const WIDTH = 3;

/** A node with one pod that has ports; `isLooking`: somebody else's change makes the next call look at what is there. */
function prepared(kind: Kind) {
  const node = new PortNode(kind);
  node.add(["tcp 1 1"], LOCAL);
  node.box.node("nft", "add", "table", "inet", "theirs");
  return { node, before: node.traces(), pod: node.box.pod(), conf: node.conf(["tcp 8080 80"], LOCAL) };
}

/** As it was, and with nothing left to be done. */
function expectSettled(node: PortNode, before: ReturnType<PortNode["traces"]>): void {
  expect({ ...node.traces(), rules: node.rules().sort() }).toEqual({
    ...before,
    rules: before.rules.toSorted(),
  });
}

async function pointsOf(kind: Kind, command: "ADD" | "DEL"): Promise<FailingRun[]> {
  const { node, pod, conf } = prepared(kind);
  if (command === "DEL") {
    node.box.add(pod, conf, node.env);
    node.box.node("nft", "add", "table", "inet", "others");
  }
  const count = (await runsOf(node, command, pod, conf)).length;
  expect(count).toBeGreaterThan(0);
  return [false, true].flatMap((isLate) =>
    Array.from({ length: count }, (_, at) => ({ nth: at + 1, isLate })),
  );
}

describe("any one program fails", () => {
  for (const kind of KINDS.filter((one) => one !== "iptables-legacy")) {
    test(`ADD, by ${kind}: told, and nothing of it stays; or done as if nothing had been`, async () => {
      await eachOf(await pointsOf(kind, "ADD"), WIDTH, async (point) => {
        const { node, before, pod, conf } = prepared(kind);
        const done = await node.box.start("ADD", pod, conf, { env: standIns(node, point).env }).done;
        if (done.exitCode !== 0)
          expect(`${errorOf(done).msg} ${errorOf(done).details}`).toContain("made to fail");
        else node.del(pod);
        expectSettled(node, before);
        node.del(node.add(["tcp 8080 80"], LOCAL));
        expectSettled(node, before);
        node.box.destroy();
      });
    });

    test(`DEL, by ${kind}: the next call ends it`, async () => {
      await eachOf(await pointsOf(kind, "DEL"), WIDTH, async (point) => {
        const { node, before, pod, conf } = prepared(kind);
        node.box.add(pod, conf, node.env);
        node.box.node("nft", "add", "table", "inet", "others");
        const done = await node.box.start("DEL", pod, conf, { env: standIns(node, point).env }).done;
        expect(done.exitCode).toBe(0);
        // Its address may be anybody's now: rules that lead there go first, also for a pod without ports.
        node.del(node.add([]), node.conf([]));
        expectSettled(node, before);
        node.box.destroy();
      });
    });
  }
});

for (const kind of KINDS) {
  test(`thirty pods at once, by ${kind}, each a process of its own: all have their port, and none leaves one`, async () => {
    const node = new PortNode(kind);
    const pods = node.box
      .pods(30)
      .map((pod, index) => ({ pod, conf: node.conf([`tcp ${8000 + index} 80`], LOCAL) }));
    const all = async (command: string) => {
      const { env } = node;
      const done = await Promise.all(
        pods.map(({ pod, conf }) => node.box.start(command, pod, conf, { env }).done),
      );
      for (const { exitCode, stdout } of done) expect(`${exitCode} ${stdout}`).toStartWith("0 ");
    };
    await all("ADD");
    const rules = node.rules().join("\n");
    const ports = rules.match(kind === "nftables" ? /tcp \. 80\d\d :/g : /--dport 80\d\d /g);
    expect(new Set(ports).size).toBe(30);
    expect(ports).toHaveLength(60);
    await all("DEL");
    expect(node.traces()).toEqual(NO_PORTS);
  });
}
