import type { Finished, SpawnRequest } from "../../src/host/machine.ts";
import { formatOperation } from "../../src/plan/format.ts";
import type { Plan } from "../../src/plan/step.ts";

type Chains = Map<string, string[]>;

const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
};

/** Which tables a program name belongs to: `4 nft`, `6 legacy`; the plain programs are those of `plain`. */
function placeOf(program: string, plain: string): string {
  const [, six = "", variant = ""] = /^ip(6)?tables(?:-(nft|legacy))?/.exec(program) ?? [];
  return `${six === "" ? 4 : 6} ${variant === "" ? plain : variant}`;
}

/** The tables of both variants and families of one machine, as far as `-S`, `--version` and restores go. */
export class FakeIptables {
  readonly #tables = new Map<string, Chains>();
  /** Policies that are not ACCEPT, by place and chain (`4 nft FORWARD`). */
  readonly policies = new Map<string, string>();
  /** What `iptables` without a variant is. */
  plain: "nft" | "legacy" = "nft";
  /** Whether MASQUERADE knows `--random-fully`. */
  knowsRandomFully = true;

  /** The chains of a table, made when somebody looks. */
  chains(place: string, table: string): Chains {
    const key = `${place} ${table}`;
    const found = this.#tables.get(key) ?? new Map((BUILT_IN[table] ?? []).map((chain) => [chain, []]));
    this.#tables.set(key, found);
    return found;
  }

  /** The rules of a chain without their `-A <chain>`; null when there is none. */
  rules(place: string, table: string, chain: string): string[] | null {
    return this.chains(place, table).get(chain) ?? null;
  }

  /** The tables that somebody looked into, `4 legacy nat`. */
  tables(): string[] {
    return [...this.#tables.keys()];
  }

  /** As after `iptables-restore` of empty tables. */
  flush(): void {
    this.#tables.clear();
  }

  /** Input of one restore; tables before a bad line stay changed, as on a real machine. */
  restore(place: string, lines: readonly string[]): void {
    let chains: Chains = new Map();
    for (const line of lines) {
      const [, verb = "", chain = "", words = ""] = /^-([ADIX]) (\S+) ?(.*)$/.exec(line) ?? [];
      const rules = chains.get(chain);
      if (line.startsWith("*")) chains = this.chains(place, line.slice(1));
      else if (line.startsWith(":")) chains.set(line.slice(1).split(" ")[0] ?? "", []);
      else if (verb === "A") rules?.push(words);
      else if (verb === "X") chains.delete(chain);
      else if (verb === "I") {
        const [, position = "1", rule = ""] = /^(\d+) (.*)$/.exec(words) ?? [];
        rules?.splice(Number(position) - 1, 0, rule);
      } else if (verb === "D") {
        const at = rules?.indexOf(words) ?? -1;
        if (at < 0) throw new Error(`Bad rule (does a matching rule exist in that chain?): ${line}`);
        rules?.splice(at, 1);
      }
    }
  }

  /** Executes the restores of a plan. */
  execute(plan: Plan): void {
    for (const step of plan) {
      const command = formatOperation(step);
      if (command.tool === "iptables-restore")
        this.restore(placeOf(command.program, this.plain), command.lines);
    }
  }

  /** What a child of iptables prints. */
  answer({ argv }: SpawnRequest): Partial<Finished> {
    const [program = ""] = argv;
    if (argv.includes("--version")) {
      const name = this.plain === "nft" ? "nf_tables" : "legacy";
      return { exitCode: 0, stdout: `iptables v1.8.9 (${name})\n` };
    }
    if (argv.includes("--test")) {
      return this.knowsRandomFully
        ? { exitCode: 0 }
        : { exitCode: 2, stderr: 'iptables-restore v1.4.21: unknown option "--random-fully"' };
    }
    if (!argv.includes("-S")) return { exitCode: 2, stderr: `not known to the fake: ${argv.join(" ")}` };
    const table = argv.includes("-t") ? (argv[argv.indexOf("-t") + 1] ?? "") : "filter";
    const chain = argv[argv.indexOf("-S") + 1] ?? "";
    const place = placeOf(program, this.plain);
    const rules = this.rules(place, table, chain);
    if (rules === null) {
      const stderr = place.endsWith("nft")
        ? `iptables v1.8.9 (nf_tables): chain \`${chain}' in table \`${table}' is incompatible, use 'nft' tool.`
        : "iptables: No chain/target/match by that name.";
      return { exitCode: 1, stderr };
    }
    const head = (BUILT_IN[table] ?? []).includes(chain)
      ? `-P ${chain} ${this.policies.get(`${place} ${chain}`) ?? "ACCEPT"}`
      : `-N ${chain}`;
    return { exitCode: 0, stdout: [head, ...rules.map((rule) => `-A ${chain} ${rule}`), ""].join("\n") };
  }
}
