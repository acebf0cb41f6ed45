import type { SpawnRequest } from "../../src/host/machine.ts";
import type { Family } from "../../src/net/address.ts";

interface BridgeTable {
  readonly sets: Map<string, Set<string>>;
  rules: string[];
}

/** What iptables and nft keep of a machine, as far as the plugin speaks to them. */
export interface FakeRules {
  /** Input of one `iptables-restore --noflush`. */
  restore(family: Family, lines: readonly string[]): void;
  /** Input of one `nft -f -`. */
  load(lines: readonly string[]): void;
  /** Answers `-C`, `-S`, `-save` and `nft list table`; null for any other program. */
  answer(request: SpawnRequest): { readonly exitCode: number; readonly stdout: string } | null;
  /** Every rule and table there is, in one line each; empty when nothing is left. */
  all(): string[];
}

const plain = (text: string) => text.replaceAll('"', "");

/** A machine's rules: a nat table of each family with an empty POSTROUTING, and no nft table. */
export function createFakeRules(): FakeRules {
  const nat = new Map<Family, Map<string, string[]>>([
    [4, new Map([["POSTROUTING", []]])],
    [6, new Map([["POSTROUTING", []]])],
  ]);
  const chainsOf = (family: Family) => nat.get(family) ?? new Map<string, string[]>();
  /** Tables of family inet as they were loaded, of family bridge by their parts. */
  const inet = new Map<string, string>();
  const bridge = new Map<string, BridgeTable>();

  const restoreLine = (chains: Map<string, string[]>, line: string) => {
    const [, verb, chain = "", words = ""] = /^-([ADIX]) (\S+) ?(.*)$/.exec(line) ?? [];
    const born = /^:(\S+) /.exec(line)?.[1];
    if (born !== undefined) chains.set(born, []);
    const rules = chains.get(chain) ?? [];
    if (verb === "A") rules.push(words);
    if (verb === "I") rules.unshift(words.replace(/^1 /, ""));
    if (verb === "X") chains.delete(chain);
    if (verb === "D") {
      const at = rules.findIndex((rule) => plain(rule) === plain(words));
      if (at < 0) throw new Error(`no such rule: ${line}`);
      rules.splice(at, 1);
    }
  };
  const saved = (family: Family) => {
    const chains = [...chainsOf(family)];
    return [
      "*nat",
      ...chains.map(([chain]) => `:${chain} ${chain === "POSTROUTING" ? "ACCEPT" : "-"} [0:0]`),
      ...chains.flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
      "COMMIT",
      "",
    ].join("\n");
  };

  const tableOf = (name: string): BridgeTable => {
    const table = bridge.get(name);
    if (table === undefined) throw new Error(`no table bridge ${name}`);
    return table;
  };
  const loadLine = (line: string) => {
    const [verb = "", what = "", family = "", name = "", third = "", ...rest] = line.trim().split(" ");
    if (what === "table" && verb === "delete") (family === "inet" ? inet : bridge).delete(name);
    if (what === "table" && verb === "add") {
      if (family === "inet") inet.set(name, inet.get(name) ?? "");
      else bridge.set(name, bridge.get(name) ?? { sets: new Map(), rules: [] });
    }
    const words = rest.join(" ");
    if (what === "set") tableOf(name).sets.set(third, tableOf(name).sets.get(third) ?? new Set());
    if (what === "chain" && verb === "flush") tableOf(name).rules = [];
    if (what === "rule") tableOf(name).rules.push(words);
    if (what === "element") {
      const set = tableOf(name).sets.get(third);
      const element = words.replace(/^\{ | \}$/g, "");
      if (verb === "add") set?.add(element);
      else if (set?.delete(element) !== true) throw new Error(`no such element: ${line}`);
    }
  };
  const listed = (name: string, { sets, rules }: BridgeTable) =>
    [
      `table bridge ${name} {`,
      ...[...sets].map(
        ([set, elements]) =>
          `  set ${set} { type x;${elements.size === 0 ? "" : ` elements = { ${[...elements].join(", ")} }`} }`,
      ),
      "  chain prerouting {",
      ...rules.map((rule) => `    ${rule}`),
      "  }",
      "}",
    ].join("\n");

  return {
    restore: (family, lines) => {
      for (const line of lines) restoreLine(chainsOf(family), line);
    },
    load: (lines) => {
      const start = lines.findIndex((line) => /^table inet \S+ \{$/.test(line));
      for (const line of start < 0 ? lines : lines.slice(0, start)) loadLine(line);
      if (start < 0) return;
      const name = (lines[start] ?? "").split(" ")[2] ?? "";
      inet.set(name, lines.slice(start).join("\n"));
    },
    answer: ({ argv }) => {
      const [program = ""] = argv;
      const family: Family = program.startsWith("ip6") ? 6 : 4;
      if (/^ip6?tables-save$/.test(program)) return { exitCode: 0, stdout: saved(family) };
      if (/^ip6?tables$/.test(program) && argv.includes("-S")) {
        const chain = argv.at(-1) ?? "";
        const rules = chainsOf(family).get(chain);
        const lines = [`-N ${chain}`, ...(rules ?? []).map((rule) => `-A ${chain} ${rule}`), ""];
        return { exitCode: rules === undefined ? 1 : 0, stdout: rules === undefined ? "" : lines.join("\n") };
      }
      if (/^ip6?tables$/.test(program)) {
        const [chain = "", ...words] = argv.slice(argv.indexOf("-C") + 1);
        const isThere = chainsOf(family)
          .get(chain)
          ?.some((rule) => plain(rule) === plain(words.join(" ")));
        return { exitCode: isThere === true ? 0 : 1, stdout: "" };
      }
      if (program !== "nft") return null;
      const [, , , kind = "", name = ""] = argv;
      const table = bridge.get(name);
      const text = kind === "inet" ? inet.get(name) : table && listed(name, table);
      if (text !== undefined) return { exitCode: 0, stdout: text };
      return { exitCode: 1, stdout: "", stderr: "Error: No such file or directory" };
    },
    all: () => [
      ...[...nat].flatMap(([family, chains]) =>
        [...chains].flatMap(([chain, rules]) => [
          ...(chain === "POSTROUTING" ? [] : [`ipv${family} chain ${chain}`]),
          ...rules.map((rule) => `ipv${family} ${chain} ${rule}`),
        ]),
      ),
      ...[...inet.keys()].map((name) => `table inet ${name}`),
      ...[...bridge.keys()].map((name) => `table bridge ${name}`),
    ],
  };
}
