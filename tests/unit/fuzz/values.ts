import fc from "fast-check";

/** A document as JSON knows it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Arrays within arrays, `depth` of them. */
export const nested = (depth: number): Json => {
  let value: Json = "deep";
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

/** What nobody expects where a value should be. */
export const junk: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, 0, -1, 1, 1.5, -0.5, 65536, 4095, 2 ** 31, 2 ** 53, 1e308, -1e308),
  fc.constantFrom<Json>(
    "",
    " ",
    "null",
    "true",
    "1",
    "0.0.0.0/0",
    "10.1.0.0/33",
    "10.1.0.300",
    "::/0",
    "fe80::1%eth0",
  ),
  fc.constantFrom<Json>(
    "a\u0000b",
    "a\nb",
    "a;b",
    "../../x",
    "%s%n",
    "ä€😀",
    "\ud800",
    "x".repeat(3000),
    "a#b",
    "-x",
    "a b",
  ),
  fc.constantFrom<Json>([], {}, [[]], [null], [{}], { a: [] }, { constructor: 1 }, [
    [{ subnet: "10.1.0.0/24" }],
  ]),
  fc.constantFrom<Json>(nested(3), nested(60)),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ unit: "binary", maxLength: 12 }),
);

/** One change of a document: what `at` picks of all its places, and what happens there. */
export interface Edit {
  readonly at: number;
  readonly how: "replace" | "remove" | "case" | "rename" | "beside" | "wrap" | "twice";
  readonly value: Json;
}

/** What a document is changed by; at least `least` edits. */
export const edits = (least: number): fc.Arbitrary<Edit[]> =>
  fc.array(
    fc.record({
      at: fc.nat(999),
      how: fc.constantFrom(
        "replace",
        "replace",
        "replace",
        "remove",
        "case",
        "rename",
        "beside",
        "wrap",
        "twice",
      ),
      value: junk,
    }),
    { minLength: least, maxLength: 3 },
  );

/** Every place of a document: the keys and indexes that lead to it. */
function places(value: Json, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, item]) => places(item, [...path, key]));
  return path.length === 0 ? inner : [path, ...inner];
}

const STRANGE = ["constructor", "toString", "hasOwnProperty", "x".repeat(300), "", "ä", "cniversion ", "0"];

function change(value: Json, path: readonly string[], edit: Edit): Json {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== "object" || value === null) return edit.value;
  const isLast = rest.length === 0;
  if (Array.isArray(value)) {
    const at = Number(key);
    if (isLast && edit.how === "remove") return value.filter((_, index) => index !== at);
    if (isLast && edit.how === "twice") return [...value, ...value];
    return value.map((item, index) =>
      index === at ? (isLast ? edited(item, edit) : change(item, rest, edit)) : item,
    );
  }
  const entries = Object.entries(value).flatMap(([name, item]): [string, Json][] => {
    if (name !== key) return [[name, item]];
    if (!isLast) return [[name, change(item, rest, edit)]];
    if (edit.how === "remove") return [];
    if (edit.how === "case") return [[edit.at % 2 === 0 ? name.toUpperCase() : name.toLowerCase(), item]];
    if (edit.how === "rename") return [[`${name}${STRANGE[edit.at % STRANGE.length]}`, item]];
    if (edit.how === "twice")
      return [
        [name, item],
        [name.toUpperCase(), edit.value],
      ];
    if (edit.how === "beside")
      return [
        [STRANGE[edit.at % STRANGE.length] ?? "", edit.value],
        [name, item],
      ];
    return [[name, edited(item, edit)]];
  });
  return Object.fromEntries(entries);
}

function edited(value: Json, { how, value: other }: Edit): Json {
  return how === "wrap" ? [value] : other;
}

/** The document with all edits made, and the top-level keys under which something was changed. */
export function mutate(document: Json, changes: readonly Edit[]): { document: Json; touched: Set<string> } {
  const touched = new Set<string>();
  let changed = document;
  for (const edit of changes) {
    const all = places(changed);
    const path = all[edit.at % Math.max(1, all.length)] ?? [];
    const [top, second] = path;
    if (top !== undefined) touched.add(top === "ipam" && second !== undefined ? `ipam.${second}` : top);
    changed = change(changed, path, edit);
  }
  return { document: changed, touched };
}

/** A change of the text itself. */
export interface Slip {
  readonly how: "none" | "cut" | "again" | "insert" | "proto" | "same key" | "bom" | "deep";
  readonly at: number;
  readonly text: string;
}

/** How a text goes wrong: cut off, sent twice, with a byte too many, with keys that only raw text can have. */
export const slips: fc.Arbitrary<Slip> = fc.record({
  how: fc.constantFrom(
    "none",
    "none",
    "none",
    "none",
    "cut",
    "again",
    "insert",
    "proto",
    "same key",
    "bom",
    "deep",
  ),
  at: fc.nat(2000),
  text: fc.string({ unit: "binary", maxLength: 3 }),
});

/** Whether the text is still the same document for whoever reads JSON as it is meant. */
export const isHarmless = ({ how }: Slip) => how === "none" || how === "proto";

/** The document as text, with the slip. */
export function write(document: Json, { how, at, text }: Slip): string {
  const whole = JSON.stringify(document);
  const open = (extra: string) =>
    whole.startsWith("{") && whole.length > 2 ? `{${extra},${whole.slice(1)}` : whole;
  switch (how) {
    case "none":
      return whole;
    case "cut":
      return whole.slice(0, at % whole.length);
    case "again":
      return `${whole}${at % 2 === 0 ? "\n" : ""}${whole}`;
    case "insert":
      return `${whole.slice(0, at % whole.length)}${text}${whole.slice(at % whole.length)}`;
    case "proto":
      return open('"__proto__":{"name":"evil","cniVersion":"9.9.9","ipam":{"dataDir":"/evil"}}');
    case "same key":
      return open('"name":7,"ipam":[],"cniVersion":"9"');
    case "bom":
      return `\ufeff${whole}`;
    case "deep":
      return open(`"args":${"[".repeat(at)}${"]".repeat(at)}`);
  }
}
