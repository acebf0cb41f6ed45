/**
 * The chains of firewalld 1.3.3 (Debian 12, FirewallBackend=nftables) that forwarded packets pass, as `nft list` prints
 * them, with the uplink in the zone `public`. `trusted`: what `--zone=trusted --add-source` was told, and `interfaces`
 * what `--add-interface` was.
 */
export function firewalldRules(
  uplink: string,
  trusted: readonly string[] = [],
  interfaces: readonly string[] = [],
): string {
  const family = (cidr: string) => (cidr.includes(":") ? "ip6" : "ip");
  const isUsed = trusted.length + interfaces.length > 0;
  const zone = (name: string, allowed: readonly string[], last: string): string[] => [
    chain(`filter_FWD_${name}`, [
      "jump filter_FORWARD_POLICIES_pre",
      ...["pre", "log", "deny", "allow", "post"].map((part) => `jump filter_FWD_${name}_${part}`),
      "jump filter_FORWARD_POLICIES_post",
      last,
    ]),
    ...["pre", "log", "deny", "post"].map((part) => chain(`filter_FWD_${name}_${part}`, [])),
    chain(`filter_FWD_${name}_allow`, allowed),
  ];
  const chains = [
    chain("filter_FORWARD", [
      "type filter hook forward priority filter + 10; policy accept;",
      "ct state { established, related } accept",
      "ct status dnat accept",
      'iifname "lo" accept',
      "ct state invalid drop",
      "ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24, 2002:7f00::/24, 2002:a9fe::/32 } reject with icmpv6 addr-unreachable",
      "jump filter_FORWARD_ZONES",
      "reject with icmpx admin-prohibited",
    ]),
    chain("filter_FORWARD_POLICIES_pre", []),
    chain("filter_FORWARD_POLICIES_post", []),
    chain("filter_FORWARD_ZONES", [
      ...trusted.map((cidr) => `${family(cidr)} saddr ${cidr} goto filter_FWD_trusted`),
      ...interfaces.map((name) => `iifname "${name}" goto filter_FWD_trusted`),
      `iifname "${uplink}" goto filter_FWD_public`,
      "goto filter_FWD_public",
    ]),
    ...zone("public", [`oifname "${uplink}" accept`], "reject with icmpx admin-prohibited"),
    ...(isUsed
      ? zone(
          "trusted",
          [
            ...trusted.map((cidr) => `${family(cidr)} daddr ${cidr} accept`),
            ...interfaces.map((name) => `oifname "${name}" accept`),
          ],
          "accept",
        )
      : []),
  ];
  return `table inet firewalld {\n${chains.join("\n")}\n}\n`;
}

function chain(name: string, lines: readonly string[]): string {
  return [`  chain ${name} {`, ...lines.map((line) => `    ${line}`), "  }"].join("\n");
}
