import { describe, expect, test } from "bun:test";
import { inParallel } from "../../../src/entry/lab/parallel.ts";

/** Work that ends when it is told to. */
function controlled() {
  const begun: number[] = [];
  const ends = new Map<number, PromiseWithResolvers<string>>();
  const work = (item: number) => {
    begun.push(item);
    const end = Promise.withResolvers<string>();
    ends.set(item, end);
    return end.promise;
  };
  return {
    begun,
    work,
    end: (item: number) => ends.get(item)?.resolve(`r${item}`),
    fail: (item: number) => ends.get(item)?.reject(new Error(`e${item}`)),
  };
}

const settle = () => Bun.sleep(0);

describe("inParallel", () => {
  test("begins no more than the limit, and gives results in the order of the items", async () => {
    const { begun, work, end } = controlled();
    const all = inParallel([1, 2, 3, 4], 2, work);
    expect(begun).toEqual([1, 2]);
    end(2);
    await settle();
    expect(begun).toEqual([1, 2, 3]);
    end(3);
    await settle();
    for (const item of [4, 1]) end(item);
    expect(await all).toEqual(["r1", "r2", "r3", "r4"]);
  });

  test("after an error it begins nothing, and waits for what it began", async () => {
    const { begun, work, end, fail } = controlled();
    let isOver = false;
    const all = inParallel([1, 2, 3, 4], 2, work).finally(() => {
      isOver = true;
    });
    const caught = all.catch((error: unknown) => error);
    fail(1);
    await settle();
    expect([begun, isOver]).toEqual([[1, 2], false]);
    end(2);
    const error = await caught;
    expect(begun).toEqual([1, 2]);
    expect(error).toMatchObject({ message: "e1" });
  });

  test("of nothing is nothing", async () => {
    expect(await inParallel([], 4, () => Promise.resolve(1))).toEqual([]);
  });
});
