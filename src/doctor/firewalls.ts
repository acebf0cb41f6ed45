import { targetOf } from "../topology/iptables-rules.ts";
import type { Firewall } from "./sections/firewall.ts";

/** Programs that make rules for forwarded packets, by the names of their chains and tables. */
const OWNERS: readonly (readonly [RegExp, string])[] = [
  [/^(firewalld$|filter_FWD|filter_FORWARD|FWD[IO]?_|FORWARD_(direct|IN|OUT|POLICIES))/, "firewalld"],
  [/^ufw6?-/, "ufw"],
  [/^(DOCKER|docker)/, "Docker"],
  [/^(LIBVIRT_|libvirt)/, "libvirt"],
  [/^(NETAVARK|netavark)/, "Podman"],
  [/^(cali-|calico)/, "Calico"],
  [/^(KUBE-ROUTER|KUBE-POD-FW)/, "kube-router"],
  [/^(CILIUM_|cilium)/, "Cilium"],
];

/**
 * Whose a chain or table is; null: of somebody without known names. What stands in a chain of everybody's (FORWARD, its
 * policy) is of the program that has chains beside it, where that is one alone: ufw and Docker set the policy to DROP.
 */
export function firewallOf(name: string, beside: readonly string[]): string | null {
  const own = ownerOf(name);
  if (own !== null) return own;
  const owners = new Set(beside.flatMap((chain) => ownerOf(chain) ?? []));
  return owners.has("ufw")
    ? "ufw"
    : owners.has("Docker")
      ? "Docker"
      : owners.size === 1
        ? ([...owners][0] ?? null)
        : null;
}

/** The programs that have chains or tables here. */
export function findFirewalls({ iptables, tables }: Pick<Firewall, "iptables" | "tables">): string[] {
  // What stands behind the agent's jump is not read, but for its name.
  const chains = iptables.flatMap((table) =>
    table.chains.flatMap(({ name, rules }) => [name, ...rules.flatMap((rule) => targetOf(rule) ?? [])]),
  );
  const names = [...chains, ...(tables ?? []).map((table) => table.split(" ")[1] ?? "")];
  return [...new Set(names.flatMap((name) => ownerOf(name) ?? []))];
}

function ownerOf(name: string): string | null {
  return OWNERS.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}
