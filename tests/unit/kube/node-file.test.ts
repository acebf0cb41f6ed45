import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { watchNodeFile } from "../../../src/kube/nodelist.ts";
import type { NodeSource } from "../../../src/kube/source.ts";
import { eventually, openRecorder, type Recorder, rawNode } from "./recorder.ts";

let folder = "";
let source: NodeSource | undefined;
const text = (...numbers: number[]) =>
  JSON.stringify({ kind: "NodeList", apiVersion: "v1", items: numbers.map((n) => rawNode(n)) });
const names = (...numbers: number[]) => numbers.map((n) => `node-${n}`);

beforeEach(() => {
  folder = mkdtempSync(`${tmpdir()}/minicni-nodefile-`);
});
afterEach(() => {
  source?.close();
  rmSync(folder, { recursive: true, force: true });
});

function follow(path = `${folder}/nodes.json`, self?: string): Recorder {
  const heard = openRecorder();
  source = watchNodeFile(path, heard, { pollMs: 10, ...(self === undefined ? {} : { self }) });
  return heard;
}
const has = (heard: Recorder, ...numbers: number[]) =>
  eventually(`nodes ${numbers}`, () => JSON.stringify(heard.names()) === JSON.stringify(names(...numbers)));

describe("watchNodeFile", () => {
  test("tells the file's Nodes, and again when it is written in place", async () => {
    writeFileSync(`${folder}/nodes.json`, text(1, 2));
    const heard = follow();
    await has(heard, 1, 2);
    expect(heard.states.at(-1)).toBeNull();
    writeFileSync(`${folder}/nodes.json`, text(1));
    await has(heard, 1);
  });

  test("sees a write of the same length", async () => {
    writeFileSync(`${folder}/nodes.json`, text(1));
    const heard = follow();
    await has(heard, 1);
    writeFileSync(`${folder}/nodes.json`, text(2));
    await has(heard, 2);
  });

  test("sees a file renamed over it, and the change of a ConfigMap's symlinks", async () => {
    mkdirSync(`${folder}/..one`);
    mkdirSync(`${folder}/..two`);
    writeFileSync(`${folder}/..one/nodes.json`, text(1));
    writeFileSync(`${folder}/..two/nodes.json`, text(1, 2));
    symlinkSync("..one", `${folder}/..data`);
    symlinkSync("..data/nodes.json", `${folder}/nodes.json`);
    const heard = follow();
    await has(heard, 1);
    symlinkSync("..two", `${folder}/..data_tmp`);
    renameSync(`${folder}/..data_tmp`, `${folder}/..data`);
    await has(heard, 1, 2);
    writeFileSync(`${folder}/other`, text(3));
    renameSync(`${folder}/other`, `${folder}/nodes.json`);
    await has(heard, 3);
  });

  test("tells nothing twice: not for the second reading, nor for a touched file", async () => {
    writeFileSync(`${folder}/nodes.json`, text(1));
    const heard = follow();
    await eventually("two readings", () => heard.counts.get("relist") === 1);
    writeFileSync(`${folder}/nodes.json`, JSON.stringify(JSON.parse(text(1)), null, 2));
    await eventually("four readings", () => heard.counts.get("relist") === 3);
    expect(heard.snapshots).toHaveLength(1);
    const beats = heard.beats();
    await eventually("some looks", () => heard.beats() > beats + 5);
    expect(heard.counts.get("relist")).toBe(3);
  });

  test.each([
    ["empty", () => writeFileSync(`${folder}/nodes.json`, ""), "not a NodeList: it is empty"],
    ["cut", () => writeFileSync(`${folder}/nodes.json`, text(1, 2).slice(0, -20)), "not a NodeList: "],
    [
      "no NodeList",
      () => writeFileSync(`${folder}/nodes.json`, "{}"),
      "not a NodeList: items: expected an array",
    ],
    ["missing", () => rmSync(`${folder}/nodes.json`), "ENOENT"],
    [
      "a folder",
      () => {
        rmSync(`${folder}/nodes.json`);
        mkdirSync(`${folder}/nodes.json`);
      },
      "it is not a regular file",
    ],
  ])("keeps the last good snapshot while the file is %s, and says so", async (_what, spoil, line) => {
    writeFileSync(`${folder}/nodes.json`, text(1, 2));
    const heard = follow();
    await has(heard, 1, 2);
    spoil();
    await eventually("a fault", () => heard.states.at(-1) !== null);
    expect(heard.states.at(-1)).toContain(line);
    expect(heard.states.at(-1)).toContain(`${folder}/nodes.json`);
    expect(heard.snapshots).toHaveLength(1);
    rmSync(`${folder}/nodes.json`, { recursive: true, force: true });
    writeFileSync(`${folder}/nodes.json`, text(1, 2, 3));
    await has(heard, 1, 2, 3);
    expect(heard.states.at(-1)).toBeNull();
  });

  test("takes back its fault when the very same file comes back", async () => {
    writeFileSync(`${folder}/nodes.json`, text(1));
    const heard = follow();
    await eventually("two readings", () => heard.counts.get("relist") === 1);
    renameSync(`${folder}/nodes.json`, `${folder}/away`);
    await eventually("a fault", () => heard.states.at(-1) !== null);
    renameSync(`${folder}/away`, `${folder}/nodes.json`);
    await eventually("no fault", () => heard.states.at(-1) === null);
    expect(heard.snapshots).toHaveLength(1);
  });

  test("waits for a file that is not there yet, and beats meanwhile", async () => {
    const heard = follow();
    await eventually("beats", () => heard.beats() > 3);
    expect(heard.snapshots).toEqual([]);
    writeFileSync(`${folder}/nodes.json`, text());
    await has(heard);
  });

  test("tells the own Node's NetworkUnavailable", async () => {
    const conditions = [{ type: "NetworkUnavailable", status: "True" }];
    const item = rawNode(1, { status: { conditions } });
    writeFileSync(`${folder}/nodes.json`, JSON.stringify({ items: [item] }));
    const heard = follow(undefined, "node-1");
    await eventually("a snapshot", () => heard.snapshots.length === 1);
    expect(heard.own).toEqual([true]);
  });

  test("is silent once closed", async () => {
    writeFileSync(`${folder}/nodes.json`, text(1));
    const heard = follow();
    source?.close();
    await Bun.sleep(50);
    expect([heard.snapshots.length, heard.states.length]).toEqual([0, 0]);
  });
});
