import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Metrics } from "../../../../src/entry/agent/metrics.ts";
import { type KnownNodes, openNodes } from "../../../../src/entry/agent/nodes.ts";
import type { NodeSnapshot } from "../../../../src/net/node.ts";
import { address, prefix } from "../../../twin/words.ts";

const KNOWN: NodeSnapshot = {
  nodes: [{ name: "n7", podCidrs: [prefix("10.244.7.0/24")], addresses: [address("10.9.0.7")] }],
  faults: [],
};

let folder = "";
let opened: KnownNodes | null = null;
beforeEach(() => {
  folder = mkdtempSync(`${tmpdir()}/minicni-test-`);
});
afterEach(() => {
  opened?.close();
  rmSync(folder, { recursive: true, force: true });
});

function write(...names: string[]): void {
  const items = names.map((name, index) => ({
    metadata: { name },
    spec: { podCIDRs: [`10.244.${index + 1}.0/24`] },
    status: { addresses: [{ type: "InternalIP", address: `10.9.0.${index + 1}` }] },
  }));
  writeFileSync(`${folder}/new`, JSON.stringify({ kind: "NodeList", items }));
  renameSync(`${folder}/new`, `${folder}/nodes.json`);
}

function open(recalled: NodeSnapshot | null = null) {
  let changes = 0;
  let recalls = 0;
  const settings = { node: "n1", nodesFile: `${folder}/nodes.json`, kubeconfig: null, dataDir: "/data" };
  const metrics: Pick<Metrics, "apiEvent" | "watch"> = { apiEvent: () => undefined, watch: () => undefined };
  const recall = () => {
    recalls++;
    return recalled;
  };
  const journal = { info: () => undefined, warn: () => undefined, state: () => undefined };
  const parts = { journal, metrics, publisher: { recall }, heartbeat: { beat: () => undefined } };
  const nodes = openNodes(settings, parts, () => changes++);
  opened = nodes;
  return { nodes, changes: () => changes, recalls: () => recalls };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo() && tries < 500; tries++) await Bun.sleep(10);
  expect(isSo()).toBe(true);
}

const names = ({ nodes }: { nodes: KnownNodes }) => nodes.now().snapshot?.nodes.map(({ name }) => name);

describe("the Nodes", () => {
  test("of a file that is there are live, and what is on disk is not asked for", async () => {
    write("n1", "n2");
    const stage = open(KNOWN);
    await until(() => stage.nodes.now().isLive);
    expect(names(stage)).toEqual(["n1", "n2"]);
    expect(stage.recalls()).toBe(0);
    expect(stage.changes()).toBeGreaterThan(0);
  });

  test("of a file that is missing are the last known ones, not live, until it comes", async () => {
    const stage = open(KNOWN);
    await until(() => stage.nodes.now().snapshot !== null);
    expect(stage.nodes.now()).toMatchObject({ snapshot: KNOWN, isLive: false });
    expect(stage.nodes.now().fault).toContain("ENOENT");
    write("n1");
    await until(() => stage.nodes.now().isLive && stage.nodes.now().fault === null);
    expect(names(stage)).toEqual(["n1"]);
  });

  test("stay the live ones when the file is torn later, with the fault beside them", async () => {
    write("n1", "n2");
    const stage = open(KNOWN);
    await until(() => stage.nodes.now().isLive);
    writeFileSync(`${folder}/nodes.json`, '{"kind":"NodeList","items":[');
    await until(() => stage.nodes.now().fault !== null);
    expect(names(stage)).toEqual(["n1", "n2"]);
    expect(stage.nodes.now().isLive).toBe(true);
  });

  test("are none when nothing is known at all", async () => {
    const stage = open(null);
    await until(() => stage.nodes.now().fault !== null);
    expect(stage.nodes.now()).toMatchObject({ snapshot: null, isLive: false });
  });
});
