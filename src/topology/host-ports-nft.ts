import { type Family, formatAddress } from "../net/address.ts";
import { hashHex } from "../net/hash.ts";
import { ownAddress, PROTOCOL_NUMBERS } from "../net/host-port.ts";
import { formatPrefix } from "../net/prefix.ts";
import { HOST, type Plan } from "../plan/step.ts";
import {
  type FamilyHostPorts,
  formatMark,
  type HostPortGroup,
  markOf,
  masquerades,
  type TargetedPort,
} from "./host-ports.ts";

/** The one table (family inet) of all host ports of a node. */
export const HOST_PORT_TABLE = "minicni_hostports";

/** Numbers are used throughout: a machine without /etc/protocols has no names for them. */
const NUMBERS_BY_NAME = new Map<string, number>(Object.entries(PROTOCOL_NUMBERS));

/** What the table should be: everything but the ports, and the ports as elements of its maps. */
export interface HostPortTable {
  /** Lines for `nft -f`, behind `add table`. */
  readonly setup: readonly string[];
  /** Elements by map, in canonical form: `6 . 8080 : 10.1.0.5 . 80`. */
  readonly elements: ReadonlyMap<string, readonly string[]>;
}

/** What `nft list table` shows of it. */
export interface ObservedHostPortTable {
  readonly digest: string | null;
  /** Rules in all chains. */
  readonly rules: number;
  readonly elements: ReadonlyMap<string, readonly string[]>;
}

/** The table of both families; null: no host port, no table. */
export function hostPortTable(families: readonly FamilyHostPorts[]): HostPortTable | null {
  const setup: string[] = [];
  const elements = new Map<string, string[]>();
  const groups = new Set<string>();
  const marks = new Set<number>();
  for (const { family, groups: own } of families) {
    for (const group of own) {
      const chain = `group_${group.id}`;
      if (!groups.has(chain)) setup.push(`chain ${chain}`);
      groups.add(chain);
      setup.push(
        ...mapLines(group, family),
        ...groupRules(group, family).map((rule) => `rule ${chain} ${rule}`),
      );
      for (const it of group.ports) {
        if (group.options.conditions[family].length > 0) continue;
        const name = mapName(ownAddress(it.port) !== null, family, group);
        elements.set(name, [...(elements.get(name) ?? []), elementOf(it)]);
      }
      if (masquerades(group)) marks.add(markOf(group.options));
    }
  }
  if (groups.size === 0) return null;
  const bridges = families.flatMap(({ localBridges }) => localBridges);
  setup.push(
    "chain hostports",
    ...[...groups].map((chain) => `rule hostports jump ${chain}`),
    // Behind kube-proxy, whether that keeps its rules in nftables or iptables: both have -100 (CVE-2019-9946).
    ...["prerouting", "output"].flatMap((hook) => [
      `chain ${hook} { type nat hook ${hook} priority -95 ; }`,
      // Only what is sent to an address of the node (CVE-2025-67499).
      `rule ${hook} fib daddr type local jump hostports`,
    ]),
    "chain postrouting { type nat hook postrouting priority 95 ; }",
    ...[...marks].map((mark) => {
      const text = formatMark(mark);
      return `rule postrouting meta mark and ${text} == ${text} masquerade fully-random`;
    }),
    ...(bridges.length === 0 ? [] : ["chain localnet { type filter hook prerouting priority -300 ; }"]),
    ...bridges.map((bridge) => `rule localnet iifname "${bridge}" ip daddr 127.0.0.0/8 drop`),
  );
  return { setup, elements };
}

function mapName(isForOneAddress: boolean, family: Family, { id }: HostPortGroup): string {
  return `${isForOneAddress ? "own" : "any"}${family}_${id}`;
}

function mapLines(group: HostPortGroup, family: Family): string[] {
  const address = `ipv${family}_addr`;
  const rest = `inet_proto . inet_service : ${address} . inet_service ; }`;
  return [
    `map ${mapName(false, family, group)} { type ${rest}`,
    `map ${mapName(true, family, group)} { type ${address} . ${rest}`,
  ];
}

/** As the rules of iptables: marks, ports, and the mark goes again. */
function groupRules(group: HostPortGroup, family: Family): string[] {
  const { options, subnets, ports } = group;
  const ip = family === 4 ? "ip" : "ip6";
  const mark = markOf(options);
  const isLocalToo = family === 4 && options.localhost;
  const ours = `meta nfproto ipv${family}`;
  const setMark = `meta mark set meta mark or ${formatMark(mark)}`;
  const sources = [
    ...(options.snat ? subnets.map(formatPrefix) : []),
    ...(isLocalToo ? ["127.0.0.0/8"] : []),
  ];
  const sets = options.masqAll
    ? [`${ours} ${setMark}`]
    : sources.map((source) => `${ip} saddr ${source} ${setMark}`);
  const guard = isLocalToo ? ours : `${ip} daddr != ${family === 4 ? "127.0.0.0/8" : "::1"}`;
  const any = "meta l4proto { 6, 17, 132 }";
  const key = "meta l4proto . th dport";
  const conditions = options.conditions[family];
  const ways =
    conditions.length === 0
      ? [
          `${guard} ${any} dnat ${ip} to ${ip} daddr . ${key} map @${mapName(true, family, group)}`,
          `${guard} ${any} dnat ${ip} to ${key} map @${mapName(false, family, group)}`,
        ]
      : ports.map((it) => conditionedRule(it, `${guard} `, ip, conditions));
  const unset = `${ours} meta mark set meta mark and ${formatMark(0xffffffff - mark)}`;
  return [...sets, ...ways, ...(masquerades(group) ? [unset] : [])];
}

function conditionedRule(
  { port, target }: TargetedPort,
  guard: string,
  ip: string,
  words: readonly string[],
): string {
  const hostIp = ownAddress(port);
  const own = hostIp === null ? "" : `${ip} daddr ${formatAddress(hostIp)} `;
  const to = formatAddress(target.address);
  const destination = `${ip === "ip6" ? `[${to}]` : to}:${port.containerPort}`;
  return `${guard}${own}${port.protocol} dport ${port.hostPort} ${words.join(" ")} dnat ${ip} to ${destination}`;
}

function elementOf({ port, target }: TargetedPort): string {
  const hostIp = ownAddress(port);
  const own = hostIp === null ? "" : `${formatAddress(hostIp)} . `;
  const to = formatAddress(target.address);
  return `${own}${PROTOCOL_NUMBERS[port.protocol]} . ${port.hostPort} : ${to} . ${port.containerPort}`;
}

function digestOf({ setup }: HostPortTable): string {
  return `digest_${hashHex(setup.join("\n")).slice(0, 8)}`;
}

/** What the kernel has once all is as desired; null: no table. */
export function settledTable(desired: HostPortTable | null): ObservedHostPortTable | null {
  if (desired === null) return null;
  const rules = desired.setup.filter((line) => line.startsWith("rule ")).length;
  return { digest: digestOf(desired), rules, elements: desired.elements };
}

/** Reads `nft list table inet minicni_hostports`. */
export function parseHostPortTable(listed: string): ObservedHostPortTable {
  const elements = new Map<string, readonly string[]>();
  for (const [, name = "", body = ""] of listed.matchAll(/map (\w+) \{([^{}]*(?:\{[^{}]*\})?[^{}]*)\}/g)) {
    const list = /elements = \{([^}]*)\}/.exec(body)?.[1] ?? "";
    const found = list.split(",").map((element) => canonical(element.trim()));
    elements.set(
      name,
      found.filter((element) => element !== ""),
    );
  }
  let rules = 0;
  let isInChain = false;
  for (const line of listed.split("\n").map((text) => text.trim())) {
    if (line.startsWith("chain ")) isInChain = true;
    else if (line === "}") isInChain = false;
    else if (isInChain && line !== "" && !line.startsWith("type ")) rules++;
  }
  const digest = /chain (digest_[0-9a-f]{8}) \{/.exec(listed)?.[1] ?? null;
  return { digest, rules, elements };
}

/** With numbers in place of the names that nft prints. */
function canonical(element: string): string {
  return element.replace(/\b(tcp|udp|sctp) \. /, (_, name: string) => `${NUMBERS_BY_NAME.get(name)} . `);
}

/** The plan that makes the table as desired, in one transaction; empty when it is. `observed` null: there is none. */
export function planHostPortTable(
  desired: HostPortTable | null,
  observed: ObservedHostPortTable | null,
): Plan {
  const lines = desired === null ? (observed === null ? [] : withoutTable()) : changeLines(desired, observed);
  if (lines.length === 0) return [];
  return [{ op: "rules.nft", netns: HOST, lines, why: "host ports of pods", isAtomic: true }];
}

/** Added first, since deleting a table that is not there would fail. */
function withoutTable(): string[] {
  return [`add table inet ${HOST_PORT_TABLE}`, `delete table inet ${HOST_PORT_TABLE}`];
}

function changeLines(desired: HostPortTable, observed: ObservedHostPortTable | null): string[] {
  const table = `inet ${HOST_PORT_TABLE}`;
  const addElements = (name: string, list: readonly string[]) =>
    list.map((element) => `add element ${table} ${name} { ${element} }`);
  const settled = settledTable(desired);
  if (observed === null || observed.digest !== settled?.digest || observed.rules !== settled.rules) {
    return [
      ...withoutTable(),
      `add table ${table}`,
      `add chain ${table} ${digestOf(desired)}`,
      ...desired.setup.map((line) => line.replace(/^(\w+) /, `add $1 ${table} `)),
      ...[...desired.elements].flatMap(([name, list]) => addElements(name, list)),
    ];
  }
  // A key that leads elsewhere now is deleted first.
  const names = new Set([...desired.elements.keys(), ...observed.elements.keys()]);
  const changes = [...names].map((name) => {
    const wanted = new Set(desired.elements.get(name) ?? []);
    const there = new Set(observed.elements.get(name) ?? []);
    const dead = [...there].filter((element) => !wanted.has(element));
    return {
      deleted: dead.map((element) => `delete element ${table} ${name} { ${element.split(" : ")[0]} }`),
      added: addElements(
        name,
        [...wanted].filter((element) => !there.has(element)),
      ),
    };
  });
  return [...changes.flatMap(({ deleted }) => deleted), ...changes.flatMap(({ added }) => added)];
}
