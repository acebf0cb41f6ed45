import { expect, test } from "bun:test";
import { createProgress } from "../../../../src/entry/output/progress.ts";

/** What is told of work that takes so many milliseconds, in two parts. */
async function tellOf(isWatched: boolean, eachMs: number): Promise<string> {
  let told = "";
  const progress = createProgress({
    isWatched,
    printError: (text) => {
      told += text;
    },
  });
  for (const what of ["asking", "looking"]) {
    progress.tell(what);
    await Bun.sleep(eachMs);
  }
  progress.close();
  return told;
}

test("nothing is told of what is over within a second", async () => {
  expect(await tellOf(false, 50)).toBe("");
  expect(await tellOf(true, 50)).toBe("");
});

test("in a pipe each thing that takes longer is told once, on a line", async () => {
  expect(await tellOf(false, 1_300)).toBe("asking …\nlooking …\n");
});

test("on a terminal one line moves, and is wiped at the end", async () => {
  const told = await tellOf(true, 1_300);
  expect(told.split("\r\x1b[K").length).toBeGreaterThan(3);
  expect(told).toEndWith("\r\x1b[K");
  expect(Bun.stripANSI(told)).not.toContain("\n");
});
