import * as v from "valibot";
import { type Address, addressBits, type Family, parseAddress } from "../net/address.ts";
import { networkOf } from "../net/prefix.ts";
import type {
  NftChain,
  NftCondition,
  NftRule,
  NftStatement,
  NftTable,
  NftTerm,
  NftValue,
  NftVerdict,
} from "../plan/ruleset.ts";
import { HostError } from "./errors.ts";
import { parseJson } from "./json.ts";
import type { Host } from "./machine.ts";

/** `nft -j` and a table of some hundred rules take 15 ms; a machine that is too busy for this is asked later. */
const TIMEOUT_MS = 5_000;

/** How a table is called. */
export type NftTableName = Pick<NftTable, "family" | "name">;

const TableSchema = v.object({
  family: v.string(),
  name: v.string(),
  flags: v.optional(v.union([v.string(), v.array(v.string())])),
});
const ChainSchema = v.object({
  name: v.string(),
  type: v.optional(v.string()),
  hook: v.optional(v.string()),
  policy: v.optional(v.string()),
});
const RuleSchema = v.object({ chain: v.string(), handle: v.number(), expr: v.array(v.unknown()) });
const ListSchema = v.object({ nftables: v.array(v.record(v.string(), v.unknown())) });
const MatchSchema = v.object({ op: v.string(), left: v.unknown(), right: v.unknown() });
const MapSchema = v.object({
  key: v.unknown(),
  data: v.object({ set: v.array(v.tuple([v.unknown(), v.unknown()])) }),
});
const TargetSchema = v.object({ target: v.string() });
const XtSchema = v.object({ type: v.string(), name: v.string() });
const KeySchema = v.object({ key: v.string() });
const FieldSchema = v.object({ protocol: v.string(), field: v.string() });
const PrefixSchema = v.object({ prefix: v.object({ addr: v.string(), len: v.number() }) });
const RejectSchema = v.object({ type: v.optional(v.string()), expr: v.optional(v.string()) });

/** All tables of IP families that have not been put to sleep. Throws HostError when nft does not answer. */
export async function observeNftTables(host: Pick<Host, "spawn">): Promise<NftTableName[]> {
  const tables: NftTableName[] = [];
  for (const { table } of await list(host, ["list", "tables"])) {
    const found = v.safeParse(TableSchema, table);
    if (!found.success) continue;
    const [named] = nameOf(found.output);
    if (named === undefined) continue;
    if (found.output.flags === undefined || !(await isDormant(host, named))) tables.push(named);
  }
  return tables;
}

/** By its text: in JSON nft 1.0.6 prints the family in place of the flags. */
async function isDormant(host: Pick<Host, "spawn">, { family, name }: NftTableName): Promise<boolean> {
  const argv = ["nft", "-t", "list", "table", family, name];
  const { exitCode, stdout } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  return exitCode !== 0 || /^\s*flags [^\n]*\bdormant\b/m.test(stdout);
}

function nameOf({ family, name }: v.InferOutput<typeof TableSchema>): NftTableName[] {
  return family === "ip" || family === "ip6" || family === "inet" ? [{ family, name }] : [];
}

/** A table with its rules, without what is in named sets. Throws HostError when nft does not answer. */
export async function observeNftTable(
  host: Pick<Host, "spawn">,
  { family, name }: NftTableName,
): Promise<NftTable> {
  const items = await list(host, ["-t", "list", "table", family, name]);
  const rules = items.flatMap(({ rule }) => {
    const found = v.safeParse(RuleSchema, rule);
    return found.success ? [found.output] : [];
  });
  const chains = items.flatMap(({ chain }): NftChain[] => {
    const found = v.safeParse(ChainSchema, chain);
    if (!found.success) return [];
    const { name: own, hook, type, policy } = found.output;
    return [
      {
        name: own,
        hook: type === "filter" ? (hook ?? null) : null,
        policy: policy === "drop" ? "drop" : "accept",
        rules: rules.flatMap((rule): NftRule[] =>
          rule.chain === own ? [{ handle: rule.handle, statements: rule.expr.map(toStatement) }] : [],
        ),
      },
    ];
  });
  return { family, name, chains };
}

async function list(host: Pick<Host, "spawn">, words: readonly string[]) {
  const argv = ["nft", "-j", ...words];
  const done = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  const refuse = (said: string) =>
    new HostError(`\`${argv.join(" ")}\` failed: ${said}`, "run it by hand to see more");
  if (done.timedOut) throw refuse("no answer in time");
  if (done.exitCode !== 0) throw refuse(done.stderr.trim().split("\n")[0] ?? "");
  const parsed = v.safeParse(ListSchema, parseJson(done.stdout));
  if (!parsed.success) throw refuse("its output is no list of nftables");
  return parsed.output.nftables;
}

const UNKNOWN: NftCondition = { term: null, values: null, isNegated: false, family: null };
/** What decides nothing and stops nothing. */
const EFFECTS = new Set(["counter", "log", "mangle", "set", "map", "notrack", "flow", "ct helper", "dup"]);

/** What holds for some packets and not for others. */
const CONDITIONS = new Set(["match", "limit", "quota", "ct count", "last"]);

/** A statement of libnftables-json(5). One that is not known (queue, tproxy) may do anything with a packet. */
function toStatement(value: unknown): NftStatement {
  const [name = "", content] = v.is(v.record(v.string(), v.unknown()), value)
    ? (Object.entries(value)[0] ?? [])
    : [];
  const verdict = toVerdict(name, content);
  if (verdict !== null) return { kind: "verdict", verdict };
  if (EFFECTS.has(name)) return { kind: "verdict", verdict: { kind: "continue" } };
  if (v.is(MatchSchema, content) && name === "match") return { kind: "if", condition: toCondition(content) };
  if (v.is(MapSchema, content) && name === "vmap") {
    const choices = content.data.set.map(([right, then]) => {
      const [kind = "", target] = Object.entries(Object(then))[0] ?? [];
      const condition = toCondition({ op: "==", left: content.key, right });
      return { condition, verdict: toVerdict(kind, target) ?? ({ kind: "unknown" } as const) };
    });
    return { kind: "map", choices };
  }
  if (CONDITIONS.has(name)) return { kind: "if", condition: UNKNOWN };
  // Extensions of iptables-nft that it has no words of nftables for; what it has are ordinary statements.
  if (v.is(XtSchema, content) && name === "xt") {
    if (content.type === "match") return { kind: "if", condition: UNKNOWN };
    if (content.name === "REJECT") return { kind: "verdict", verdict: { kind: "drop", text: "REJECT" } };
  }
  return { kind: "verdict", verdict: { kind: "unknown" } };
}

function toVerdict(name: string, content: unknown): NftVerdict | null {
  switch (name) {
    case "accept":
    case "return":
    case "continue":
      return { kind: name };
    case "drop":
      return { kind: "drop", text: "drop" };
    case "reject": {
      const { type = "", expr = "" } = v.is(RejectSchema, content) ? content : {};
      return { kind: "drop", text: `reject${type === "" ? "" : ` with ${type} ${expr}`}`.trim() };
    }
    case "jump":
    case "goto":
      return v.is(TargetSchema, content) ? { kind: name, chain: content.target } : { kind: "unknown" };
    default:
      return null;
  }
}

function toCondition({ op, left, right }: v.InferOutput<typeof MatchSchema>): NftCondition {
  const { term, family } = toTerm(left);
  const isNegated = op === "!=";
  if (term === null || !(isNegated || op === "==" || op === "in")) return { ...UNKNOWN, family };
  return { term, family, isNegated, values: toValues(right) };
}

const META_TERMS: Readonly<Record<string, NftTerm>> = {
  iif: "iifname",
  iifname: "iifname",
  oif: "oifname",
  oifname: "oifname",
  nfproto: "nfproto",
  l4proto: "l4proto",
};

function toTerm(left: unknown): { readonly term: NftTerm | null; readonly family: Family | null } {
  const { ct, meta, payload } = Object(left);
  if (v.is(KeySchema, ct)) {
    return { term: ct.key === "state" ? "ct state" : ct.key === "status" ? "ct status" : null, family: null };
  }
  if (v.is(KeySchema, meta)) return { term: META_TERMS[meta.key] ?? null, family: null };
  if (!v.is(FieldSchema, payload)) return { term: null, family: null };
  const { protocol, field } = payload;
  const family = protocol === "ip" ? 4 : protocol === "ip6" ? 6 : null;
  return { term: family !== null && (field === "saddr" || field === "daddr") ? field : null, family };
}

function toValues(right: unknown): NftValue[] | null {
  const { set } = Object(right);
  const all: readonly unknown[] = Array.isArray(set) ? set : Array.isArray(right) ? right : [right];
  const values = all.map(toValue);
  return values.includes(null) ? null : values.filter((value) => value !== null);
}

/** Null: one that is not understood (a named set, a range, a name of a service). */
function toValue(value: unknown): NftValue | null {
  if (typeof value === "string") {
    if (value.startsWith("@")) return null;
    const address = parseAddress(value);
    return address === null ? { kind: "word", word: value } : networkValue(address, null);
  }
  if (!v.is(PrefixSchema, value)) return null;
  const address = parseAddress(value.prefix.addr);
  return address === null ? null : networkValue(address, value.prefix.len);
}

function networkValue(address: Address, length: number | null): NftValue {
  return { kind: "network", prefix: networkOf({ address, length: length ?? addressBits(address.family) }) };
}
