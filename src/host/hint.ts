import type { KernelHint } from "./machine.ts";

/** What `ip monitor label` puts before what it tells. */
const KINDS: ReadonlyMap<string, KernelHint["kind"]> = new Map([
  ["LINK", "link"],
  ["ADDR", "address"],
  ["ROUTE", "route"],
  ["RULE", "rule"],
]);

/** Where the name of the link stands: `8: br0@if2: <…`, `8: br0    inet …`, `10.0.0.0/8 dev br0 …`. */
const DEVICE: Readonly<Record<KernelHint["kind"], RegExp | null>> = {
  link: /^\d+: ([^@:\s]+)/,
  address: /^\d+: (\S+)/,
  route: /\sdev (\S+)/,
  rule: null,
};

/**
 * One line of `ip -oneline monitor label …` (iproute2 6.1; labels are the same since 2.6). Null for lines that tell no
 * change of their own: the further lines of a change without `-oneline`, and routes of the table `local`, which come
 * and go with an address or a link that is told as well.
 */
export function parseHint(line: string): KernelHint | null {
  const [, label = "", deleted, text = ""] = /^\[([A-Z]+)\](Deleted )?(.*)$/s.exec(line) ?? [];
  const kind = KINDS.get(label);
  if (kind === undefined || (kind === "route" && /\stable local\b/.test(text))) return null;
  const dev = DEVICE[kind]?.exec(text)?.[1] ?? null;
  return { kind, isDelete: deleted !== undefined, dev, text: line };
}
