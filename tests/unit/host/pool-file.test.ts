import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { mtimeOf, readPoolFile, withoutAddresses, writePoolFile } from "../../../src/host/pool-file.ts";
import { parseRangeSets } from "../../../src/ipam/range.ts";
import { address } from "../../twin/words.ts";

const [SET = [], OTHER = []] = parseRangeSets([[{ subnet: "10.1.0.0/26" }], [{ subnet: "10.2.0.0/26" }]]);
const BITS = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);
const root = mkdtempSync(`${tmpdir()}/mtest-pool-`);
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(`${root}/network-`);
});
afterAll(() => rmSync(root, { recursive: true }));

/** As a change of the folder, whatever the clock's steps are. */
function change(work: () => void): void {
  work();
  const later = Date.now() / 1000 + 10;
  utimesSync(folder, later, later);
}

const kept = (set = SET) => readPoolFile(folder, 0, set, mtimeOf(folder));

describe("a kept bitmap", () => {
  test("is found as it was written, whatever is done with what was found", () => {
    writePoolFile(folder, 0, SET, BITS);
    const first = kept();
    expect(first).toEqual(BITS);
    first?.fill(255);
    expect(kept()).toEqual(BITS);
  });

  test("is that of the moment when it was written", () => {
    const bits = BITS.slice();
    writePoolFile(folder, 0, SET, bits);
    bits.fill(255);
    expect(kept()).toEqual(BITS);
  });

  test.each([
    ["a reservation of somebody else", () => writeFileSync(`${folder}/10.1.0.9`, "other")],
    ["its own removal", () => unlinkSync(`${folder}/.pool.0`)],
  ])("is not believed behind %s, from memory neither", (_what, work) => {
    writePoolFile(folder, 0, SET, BITS);
    change(work);
    expect(kept()).toBeNull();
  });

  test("is not believed for other ranges", () => {
    writePoolFile(folder, 0, SET, BITS);
    expect(kept(OTHER)).toBeNull();
  });

  test("loses what is removed, in file and memory alike", () => {
    writeFileSync(`${folder}/10.1.0.2`, "c1");
    writePoolFile(folder, 0, SET, BITS);
    withoutAddresses(folder, () => {
      change(() => unlinkSync(`${folder}/10.1.0.2`));
      return [address("10.1.0.2")];
    });
    expect(kept()).toEqual(Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0));
  });
});
