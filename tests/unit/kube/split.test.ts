import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_ITEM_BYTES, splitLines, splitList } from "../../../src/kube/split.ts";
import { thrown } from "../../twin/words.ts";
import { junk, nested } from "../fuzz/values.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Cuts bytes at these places; one buffer is used for all chunks, as a reader of a file does. */
function feed(push: (chunk: Uint8Array) => void, bytes: Uint8Array, cuts: readonly number[]): void {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const buffer = new Uint8Array(bytes.length);
  let start = 0;
  for (const end of [...places, bytes.length]) {
    const part = bytes.subarray(start, end);
    buffer.fill(0x7b);
    buffer.set(part);
    push(buffer.subarray(0, part.length));
    start = end;
  }
}

function split(text: string, cuts: readonly number[] = []): { items: string[]; rest: string } {
  const items: string[] = [];
  const splitter = splitList((item) => items.push(item));
  feed(splitter.push, encode(text), cuts);
  return { items, rest: splitter.finish() };
}

const cuts = fc.array(fc.nat(), { maxLength: 40 });
const everywhere = (text: string) => [...encode(text).keys()];
const value = fc.oneof(
  junk,
  fc.json().map((text): unknown => JSON.parse(text)),
  fc.string({ unit: fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", "é", "漢", "😀", '"items":[') }),
  fc.constant(nested(50)),
);

describe("splitList", () => {
  test("gives each item as it stands, and the rest without them", () => {
    expect(split('{"kind":"List","items":[{"a":1}, [2] ,"x,]"],"metadata":{"items":[1,2]}}')).toEqual({
      items: ['{"a":1}', " [2] ", '"x,]"'],
      rest: '{"kind":"List","items":[],"metadata":{"items":[1,2]}}',
    });
  });

  test.each(['{"items":[]}', '{"items":[ \n]}', '{ "items" : [ ] }'])("finds no item in %s", (text) => {
    expect(split(text, everywhere(text)).items).toEqual([]);
  });

  test("leaves blank items to the reader", () => {
    expect(split('{"items":[1,,2]}').items).toEqual(["1", "", "2"]);
    expect(split('{"items":[,]}').items).toEqual(["", ""]);
  });

  test("gives the same however the bytes are cut, pretty or not", () => {
    const shape = fc.record({
      before: value,
      items: fc.array(value, { maxLength: 6 }),
      after: value,
      indent: fc.nat(2),
    });
    fc.assert(
      fc.property(shape, cuts, ({ before, items, after, indent }, places) => {
        const document = { before, kind: "List", items, metadata: { after, items: [1] } };
        const text = JSON.stringify(document, null, indent);
        fc.pre(encode(text).length < 60_000);
        const { items: found, rest } = split(text, places);
        const expected: { items: unknown[] } = JSON.parse(text);
        expect(found.map((item): unknown => JSON.parse(item))).toEqual(expected.items);
        expect(JSON.parse(rest)).toEqual({ ...expected, items: [] });
        expect({ items: found, rest }).toEqual(split(text, []));
      }),
      { numRuns: 300 },
    );
  });

  test("is right about each single cut, escapes and long characters included", () => {
    const text = JSON.stringify({ items: [{ 'a\\"': '\\\\"]}漢😀\\' }, '"', "\\", '\\"'], é: "[" });
    const whole = split(text);
    for (let at = 0; at <= encode(text).length; at++) expect(split(text, [at])).toEqual(whole);
    expect(split(text, everywhere(text))).toEqual(whole);
  });

  test.each([
    ["", "it is empty"],
    ['{"items":[{}', "it ends in the middle"],
    ['{"items":[]', "it ends in the middle"],
    ['{"items":["', "it ends in the middle"],
    ["{}", "items: expected an array"],
    ['["items",[]]', "items: expected an array"],
    ['{"a":{"items":[]}}', "items: expected an array"],
    ['{"a\\"items":[]}', "items: expected an array"],
    ['{"items":{}}', "items: expected an array"],
    ['{"items":[],"items":[1]}', "items twice"],
    ['{"items":[]}{}', ""],
    ['{"items":[}]', ""],
  ])("refuses %j: %s", (text, message) => {
    const error = thrown(() => split(text));
    expect(error).toBeInstanceOf(SyntaxError);
    expect(String(error)).toContain(message);
  });

  test("stops at an item, or a rest, that is beyond all measure", () => {
    const chunk = encode("x".repeat(1 << 16));
    const huge = (start: string) => () => {
      const splitter = splitList(() => {});
      splitter.push(encode(start));
      for (let size = 0; size <= MAX_ITEM_BYTES + chunk.length; size += chunk.length) splitter.push(chunk);
    };
    expect(huge('{"items":["')).toThrow(`an item is longer than ${MAX_ITEM_BYTES} bytes`);
    expect(huge('{"kind":"')).toThrow("what is around the items is longer than 65536 bytes");
  });
});

describe("splitLines", () => {
  test("gives the same lines however the bytes are cut, and what is left over", () => {
    const line = fc.string({ unit: fc.constantFrom("a", "é", "漢", "😀", '"', " ") });
    fc.assert(
      fc.property(fc.array(line), line, cuts, (lines, tail, places) => {
        const found: string[] = [];
        const splitter = splitLines((text) => found.push(text));
        feed(splitter.push, encode([...lines, tail].join("\n")), places);
        expect(found).toEqual(lines.filter((text) => text.trim() !== ""));
        expect(splitter.pendingBytes()).toBe(encode(tail).length);
      }),
    );
  });

  test("stops at a line beyond all measure", () => {
    const splitter = splitLines(() => {});
    expect(() => splitter.push(new Uint8Array(MAX_ITEM_BYTES + 1))).toThrow("a line is longer than");
  });
});
