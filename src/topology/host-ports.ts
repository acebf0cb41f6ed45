import { addressBits, type Family, formatAddress } from "../net/address.ts";
import { hashHex } from "../net/hash.ts";
import {
  type HostPort,
  type HostPortClaim,
  type HostPortOptions,
  isOfFamily,
  ownAddress,
} from "../net/host-port.ts";
import { formatPrefix, networkOf, type Prefix } from "../net/prefix.ts";

/** Where packets to an address of the node come by; leads to a chain of each group. */
export const HOST_PORT_CHAIN = "MINICNI-HOSTPORTS";
/** Masquerades what carries our mark. */
export const HOST_PORT_SNAT_CHAIN = "MINICNI-HOSTPORT-SNAT";
/** In the raw table: what comes from pods for 127.0.0.0/8. */
export const LOCALNET_CHAIN = "MINICNI-LOCALNET";
/** Begins the names of the chains with the ports themselves. */
export const DNAT_PREFIX = "MINICNI-DNAT-";

/** Host ports that are made alike: of one network, with the same options. */
export interface HostPortGroup {
  /** 32 bits in hex; in the names of its chains and maps. */
  readonly id: string;
  readonly options: HostPortOptions;
  /** Subnets of its pods, whose packets have to come back through the node; sorted. */
  readonly subnets: readonly Prefix[];
  readonly ports: readonly TargetedPort[];
}

/** A port of the node, and the pod's address that it leads to. */
export interface TargetedPort {
  readonly port: HostPort;
  readonly target: Prefix;
}

/** One family's host ports. Pure, and the same for the same claims, in whatever order they come. */
export interface FamilyHostPorts {
  readonly family: Family;
  readonly groups: readonly HostPortGroup[];
  /** Bridges with pods that 127.0.0.0/8 leads to; only of IPv4, since ::1 is never routed. */
  readonly localBridges: readonly string[];
}

/** What claims amount to in one family. */
export function describeHostPorts(claims: readonly HostPortClaim[], family: Family): FamilyHostPorts {
  interface Growing {
    readonly options: HostPortOptions;
    readonly subnets: Map<string, Prefix>;
    readonly ports: TargetedPort[];
  }
  const groups = new Map<string, Growing>();
  const bridges = new Set<string>();
  for (const { network, ports, targets, options, bridge } of claims) {
    const target = targets.find(({ address }) => address.family === family);
    const own = ports.filter((port) => isOfFamily(port, family));
    if (target === undefined || own.length === 0) continue;
    const id = hashHex(`${network}\n${JSON.stringify(options)}`).slice(0, 8);
    const group: Growing = groups.get(id) ?? { options, subnets: new Map(), ports: [] };
    groups.set(id, group);
    const subnet = networkOf(target);
    group.subnets.set(formatPrefix(subnet), subnet);
    group.ports.push(...own.map((port) => ({ port, target })));
    if (options.localhost && family === 4) bridges.add(bridge);
  }
  return {
    family,
    groups: [...groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, { options, subnets, ports }]) => ({
        id,
        options,
        subnets: [...subnets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, subnet]) => subnet),
        ports,
      })),
    localBridges: [...bridges].sort(),
  };
}

/** Where a packet has its mark. */
export function markOf({ markBit }: HostPortOptions): number {
  return 2 ** markBit;
}

/** What a mark is when it is printed. */
export function formatMark(value: number): string {
  return `0x${value.toString(16)}`;
}

/** A chain of ours with the lines that `iptables -S` prints of it. */
export interface ChainOfRules {
  readonly chain: string;
  readonly rules: readonly string[];
  /** The order of the rules decides nothing: each is for other packets. */
  readonly isUnordered: boolean;
  /** `iptables -S` may print a rule in other words than it was given. */
  readonly isReworded: boolean;
}

/** One family's chains; all null without a host port. */
export interface HostPortChains {
  readonly family: Family;
  readonly dispatch: ChainOfRules | null;
  readonly snat: ChainOfRules | null;
  readonly groups: readonly ChainOfRules[];
  /** In the raw table. */
  readonly localnet: ChainOfRules | null;
}

/** The chains of one family's host ports. */
export function hostPortChains({ family, groups, localBridges }: FamilyHostPorts): HostPortChains {
  const marks = [...new Set(groups.filter(masquerades).map(({ options }) => markOf(options)))].sort(
    (a, b) => a - b,
  );
  const chain = (
    name: string,
    rules: readonly string[],
    more: Partial<ChainOfRules> = {},
  ): ChainOfRules | null =>
    rules.length === 0
      ? null
      : {
          chain: name,
          rules: rules.map((rule) => `-A ${name} ${rule}`),
          isUnordered: false,
          isReworded: false,
          ...more,
        };
  return {
    family,
    dispatch: chain(
      HOST_PORT_CHAIN,
      groups.flatMap((group) => dispatchRules(group, family)),
    ),
    snat: chain(
      HOST_PORT_SNAT_CHAIN,
      marks.map((mark) => {
        const text = formatMark(mark);
        return `-m mark --mark ${text}/${text} -j MASQUERADE --random-fully`;
      }),
    ),
    groups: groups.flatMap((group) => {
      const isReworded = group.options.conditions[family].length > 0;
      return (
        chain(
          dnatChain(group),
          group.ports.map((it) => dnatRule(it, group, family)),
          { isUnordered: true, isReworded },
        ) ?? []
      );
    }),
    localnet: chain(
      LOCALNET_CHAIN,
      localBridges.map((bridge) => `-d 127.0.0.0/8 -i ${bridge} -j DROP`),
    ),
  };
}

function dnatChain({ id }: HostPortGroup): string {
  return `${DNAT_PREFIX}${id}`;
}

/** Whether a group needs our own masquerade. */
export function masquerades({ options }: HostPortGroup): boolean {
  return options.externalSetMarkChain === null && (options.snat || options.masqAll || options.localhost);
}

/**
 * Marks what will have to be masqueraded, if it is for one of the group's ports; what is not loses the mark again (a port
 * that is found ends the way through the table).
 */
function dispatchRules(group: HostPortGroup, family: Family): string[] {
  const { options } = group;
  const mark = formatMark(markOf(options));
  const setMark =
    options.externalSetMarkChain === null
      ? `-j MARK --set-xmark ${mark}/${mark}`
      : `-j ${options.externalSetMarkChain}`;
  const sources = options.masqAll
    ? [""]
    : options.snat
      ? [...group.subnets.map(formatPrefix), ...localSources(options, family)].map(
          (source) => `-s ${source} `,
        )
      : localSources(options, family).map((source) => `-s ${source} `);
  // 127.0.0.1 leads to a pod only where the kernel was told so; ::1 never does.
  const isLocalToo = family === 4 && options.localhost;
  const digest = options.conditions[family].length === 0 ? "" : `${digestOf(group, family)} `;
  return [
    ...sources.map((source) => `${source}${setMark}`),
    `${isLocalToo ? "" : `! -d ${family === 4 ? "127.0.0.0/8" : "::1/128"} `}${digest}-j ${dnatChain(group)}`,
    ...(masquerades(group) ? [`-j MARK --set-xmark 0x0/${mark}`] : []),
  ];
}

function localSources({ localhost }: HostPortOptions, family: Family): string[] {
  return localhost && family === 4 ? ["127.0.0.0/8"] : [];
}

/** Conditions may be printed in other words, so that the rules can't be told by them. */
function digestOf(group: HostPortGroup, family: Family): string {
  const rules = group.ports.map((it) => dnatRule(it, group, family)).sort();
  return `-m comment --comment digest-${hashHex(rules.join("\n")).slice(0, 8)}`;
}

/** In the words and the order of `iptables -S`. */
function dnatRule({ port, target }: TargetedPort, { options }: HostPortGroup, family: Family): string {
  const { protocol, hostPort, containerPort } = port;
  const hostIp = ownAddress(port);
  const to = formatAddress(target.address);
  const destination = hostIp === null ? "" : `-d ${formatAddress(hostIp)}/${addressBits(family)} `;
  const conditions = options.conditions[family].map((word) => `${word} `).join("");
  return (
    `${destination}-p ${protocol} -m ${protocol} --dport ${hostPort} ${conditions}` +
    `-j DNAT --to-destination ${family === 6 ? `[${to}]` : to}:${containerPort}`
  );
}
