import { expect, test } from "bun:test";
import { readBeginning } from "../../../src/kube/request.ts";

const signal = new AbortController().signal;

test("of an error body that never ends a beginning is read, and the rest let go", async () => {
  let isCancelled = false;
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      sent++;
      controller.enqueue(new Uint8Array(8_192).fill(0x61));
    },
    cancel: () => {
      isCancelled = true;
    },
  });
  const text = await readBeginning(new Response(endless), signal);
  expect(text).toHaveLength(64 << 10);
  expect(sent).toBeLessThan(20);
  await Bun.sleep(1);
  expect(isCancelled).toBe(true);
});

test("a short error body is read whole, an absent one is empty", async () => {
  expect(await readBeginning(new Response("{}"), signal)).toBe("{}");
  expect(await readBeginning(new Response(null), signal)).toBe("");
});
