import type { Family } from "../../../src/net/address.ts";
import type { HostPort, HostPortClaim, HostPortOptions } from "../../../src/net/host-port.ts";
import { describeHostPorts, type HostPortChains, hostPortChains } from "../../../src/topology/host-ports.ts";
import {
  HOST_PORT_JUMPS,
  type ObservedHostPorts,
  planHostPorts,
} from "../../../src/topology/host-ports-plan.ts";
import { address, prefix } from "../../twin/words.ts";

export const OPTIONS: HostPortOptions = {
  snat: true,
  masqAll: false,
  markBit: 13,
  externalSetMarkChain: null,
  conditions: { 4: [], 6: [] },
  localhost: false,
};

/** `tcp 8080 80`, `udp 192.0.2.1:53 53`, `sctp [2001:db8::1]:9 99`. */
export function hostPort(text: string): HostPort {
  const [, protocol = "", bracketed, plain, from, to] =
    /^(\w+) (?:(?:\[(\S+)\]|([\d.]+)):)?(\d+) (\d+)$/.exec(text) ?? [];
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") throw new RangeError(text);
  const ip = bracketed ?? plain;
  return {
    protocol,
    hostIp: ip === undefined ? null : address(ip),
    hostPort: Number(from),
    containerPort: Number(to),
  };
}

/** The claim of a pod of a dual-stack network: number 5 has 10.7.0.5 and fd00:7::5. */
export function claim(
  number: number,
  ports: readonly string[],
  options: Partial<HostPortOptions> = {},
  more: Partial<HostPortClaim> = {},
): HostPortClaim {
  return {
    network: "net1",
    containerId: `pod${number}`,
    ifname: "eth0",
    bridge: "br0",
    ports: ports.map(hostPort),
    targets: [`10.7.0.${number}/24`, `fd00:7::${number.toString(16)}/64`].map(prefix),
    options: { ...OPTIONS, ...options },
    ...more,
  };
}

export function chainsFor(claims: readonly HostPortClaim[], family: Family = 4): HostPortChains {
  return hostPortChains(describeHostPorts(claims, family));
}

/** The nat and raw tables of one family as far as restores go; as strict as the kernel. */
export class Tables {
  readonly #tables = new Map<string, Map<string, string[]>>([
    [
      "nat",
      new Map([
        ["PREROUTING", []],
        ["OUTPUT", []],
        ["POSTROUTING", []],
      ]),
    ],
    ["raw", new Map([["PREROUTING", []]])],
  ]);
  restores = 0;

  rules(table: string, chain: string): string[] {
    const rules = this.#tables.get(table)?.get(chain);
    if (rules === undefined) throw new Error(`no chain ${chain} in ${table}`);
    return rules;
  }

  /** Chains that are not built in. */
  own(table: string): string[] {
    return [...(this.#tables.get(table)?.keys() ?? [])].filter(
      (name) => name !== name.toUpperCase() || name.includes("-"),
    );
  }

  drop(table: string, chain: string): void {
    this.#tables.get(table)?.delete(chain);
  }

  /** Lines of one restore. */
  restore(lines: readonly string[]): void {
    this.restores++;
    let table = "";
    for (const line of lines) {
      const [, verb = "", chain = "", words = ""] = /^-([ADIX]) (\S+) ?(.*)$/.exec(line) ?? [];
      const found = this.#tables.get(table);
      if (line.startsWith("*")) table = line.slice(1);
      else if (line.startsWith(":")) found?.set(line.slice(1).split(" ")[0] ?? "", []);
      else if (verb === "X") this.#remove(table, chain);
      else if (verb !== "") this.#change(table, verb, chain, words);
      else if (line !== "COMMIT") throw new Error(`not a line of a restore: ${line}`);
    }
  }

  #change(table: string, verb: string, chain: string, words: string): void {
    const rules = this.rules(table, chain);
    const rule = `-A ${chain} ${verb === "I" ? words.replace(/^1 /, "") : words}`;
    const target = / -j (MINICNI\S+)$/.exec(rule)?.[1];
    if (verb !== "D" && target !== undefined) this.rules(table, target);
    if (verb === "A") rules.push(rule);
    else if (verb === "I") rules.unshift(rule);
    else {
      const at = rules.indexOf(rule);
      if (at < 0) throw new Error(`no such rule: ${rule}`);
      rules.splice(at, 1);
    }
  }

  #remove(table: string, chain: string): void {
    if (this.rules(table, chain).length > 0) throw new Error(`${chain} is not empty`);
    for (const [other, rules] of this.#tables.get(table) ?? []) {
      if (rules.some((rule) => rule.endsWith(` -j ${chain}`))) throw new Error(`${other} leads to ${chain}`);
    }
    this.#tables.get(table)?.delete(chain);
  }

  observe(): ObservedHostPorts {
    const chains = new Map(
      ["nat", "raw"].flatMap((table) =>
        this.own(table).map((name) => [name, [...this.rules(table, name)]] as const),
      ),
    );
    const bases = new Map(
      HOST_PORT_JUMPS.map(({ table, base }) => [`${table} ${base}`, [...this.rules(table, base)]] as const),
    );
    return { tables: ["nat", "raw"], chains, bases };
  }

  /** Brings the tables to what the claims want; returns the lines. */
  settle(claims: readonly HostPortClaim[], family: Family = 4): string[] {
    const lines = linesFor(chainsFor(claims, family), this.observe());
    if (lines.length > 0) this.restore(lines);
    return lines;
  }
}

/** What {@link planHostPorts} would restore; fails on a plan of more than one step. */
export function linesFor(desired: HostPortChains, observed: ObservedHostPorts): string[] {
  const { plan } = planHostPorts(desired, observed, undefined);
  if (plan.length > 1) throw new Error("more than one restore");
  return plan.flatMap((step) => (step.op === "rules.restore" ? [...step.lines] : [step.op]));
}
