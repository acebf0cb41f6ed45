import { expect, test } from "bun:test";
import { splitList } from "../../../src/kube/split.ts";

test.each([7, 16, 64])("a reader that fills one buffer of %i bytes again and again loses nothing", (size) => {
  const items = Array.from({ length: 20 }, (_, index) => ({
    name: `node-${index}`,
    text: "x".repeat(index * 3),
  }));
  const document = { kind: "List", metadata: { resourceVersion: "7" }, items, apiVersion: "v1" };
  const bytes = new TextEncoder().encode(JSON.stringify(document, null, 1));
  const found: unknown[] = [];
  const splitter = splitList((text) => found.push(JSON.parse(text)));
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    buffer.set(part);
    splitter.push(buffer.subarray(0, part.length));
  }
  expect(JSON.parse(splitter.finish())).toEqual({ ...document, items: [] });
  expect(found).toEqual(items);
});
