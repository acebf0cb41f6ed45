import { type Family, formatAddress } from "../net/address.ts";
import { PORT_PROTOCOLS, type PortProtocol } from "../net/host-port.ts";
import { parsePrefix } from "../net/prefix.ts";
import { HOST_PORT_CHAIN } from "./host-ports.ts";

/** Where the portmap plugin's rules begin (plugins/meta/portmap/portmap_iptables.go). */
export const PORTMAP_CHAIN = "CNI-HOSTPORT-DNAT";
/** Its table of nftables, of the families ip and ip6 (portmap_nftables.go). */
export const PORTMAP_TABLE = "cni_hostport";
/** Chains of one pod each. */
const POD_CHAIN = "CNI-DN-";

/** One rule of the portmap plugin. */
export interface PortmapRule {
  readonly chain: string;
  readonly protocol: PortProtocol;
  readonly hostPort: number;
  /** Null: all addresses of the node. */
  readonly hostIp: string | null;
  /** `10.22.0.5:80`. */
  readonly to: string;
  readonly rule: string;
  /** Whether packets from outside come by it before ours; null: that can't be known. */
  readonly isBefore: boolean | null;
}

/** Those in what `iptables -t nat -S` prints; chains that nothing leads to catch nothing, and are left out. */
export function portmapRules(saved: string): PortmapRule[] {
  const lines = saved.split("\n").map((line) => line.trim());
  const jumps = lines.filter((line) => line.startsWith("-A PREROUTING "));
  const theirs = jumps.findIndex((line) => line.endsWith(`-j ${PORTMAP_CHAIN}`));
  if (theirs < 0) return [];
  const ours = jumps.findIndex((line) => line.endsWith(`-j ${HOST_PORT_CHAIN}`));
  const reached = new Set(
    lines.flatMap((line) => {
      const target = / -j (\S+)$/.exec(line)?.[1] ?? "";
      return line.startsWith(`-A ${PORTMAP_CHAIN} `) && target.startsWith(POD_CHAIN) ? [target] : [];
    }),
  );
  return lines.flatMap((rule) => {
    const chain = /^-A (\S+) /.exec(rule)?.[1] ?? "";
    const protocol = protocolOf(/ -p (\S+)/.exec(rule)?.[1]);
    const port = / --dport (\d+)/.exec(rule)?.[1];
    const to = / -j DNAT --to-destination (\S+)/.exec(rule)?.[1];
    if (!reached.has(chain) || protocol === null || port === undefined || to === undefined) return [];
    const own = parsePrefix(/ -d (\S+)/.exec(rule)?.[1] ?? "");
    const hostIp = own === null ? null : formatAddress(own.address);
    return [
      { chain, protocol, hostPort: Number(port), hostIp, to, rule, isBefore: ours < 0 || theirs < ours },
    ];
  });
}

/** Those in what `nft list table ip cni_hostport` prints. */
export function portmapNftRules(listed: string, family: Family): PortmapRule[] {
  let chain = "";
  return listed.split("\n").flatMap((text) => {
    const rule = text.trim();
    chain = /^chain (\S+) \{/.exec(rule)?.[1] ?? chain;
    // Older versions ask for the protocol's number in the header, and give address and port as a pair.
    const [, word, port] =
      /(?:^| )(?:(?:ip protocol|ip6 nexthdr|meta l4proto) )?(tcp|udp|sctp) (?:th )?dport (\d+) /.exec(rule) ??
      [];
    const [, address, number] = / dnat (?:ip6? )?(?:addr \. port )?to (\S+)(?: \. (\d+))?/.exec(rule) ?? [];
    const to =
      number === undefined ? address : family === 6 ? `[${address}]:${number}` : `${address}:${number}`;
    const protocol = protocolOf(word);
    if (protocol === null || port === undefined || to === undefined) return [];
    const own =
      new RegExp(`(?:^| )ip${family === 6 ? "6" : ""} daddr ([0-9a-f.:]+) `).exec(rule)?.[1] ?? null;
    return [{ chain, protocol, hostPort: Number(port), hostIp: own, to, rule, isBefore: null }];
  });
}

function protocolOf(word: string | undefined): PortProtocol | null {
  return PORT_PROTOCOLS.find((protocol) => protocol === word) ?? null;
}
