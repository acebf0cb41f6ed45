import { HostError } from "../../host/errors.ts";
import { observeBaseChain, observeChain } from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import type { Family } from "../../net/address.ts";
import { iptablesProgram } from "../../plan/format.ts";
import type { IptablesVariant } from "../../plan/step.ts";
import {
  DNAT_PREFIX,
  HOST_PORT_CHAIN,
  HOST_PORT_SNAT_CHAIN,
  LOCALNET_CHAIN,
} from "../../topology/host-ports.ts";
import {
  HOST_PORT_TABLE,
  type ObservedHostPortTable,
  parseHostPortTable,
} from "../../topology/host-ports-nft.ts";
import { groupsIn, HOST_PORT_JUMPS, type ObservedHostPorts } from "../../topology/host-ports-plan.ts";
import { foundTable } from "../masquerade.ts";

/** Seconds for the xtables lock, and milliseconds until a program that does not even end by that is given up. */
const LOCK_WAIT_S = "10";
const TIMEOUT_MS = 15_000;

/**
 * Our chains of one family and what leads to them: some spawns side by side, of one chain each, since a node may have
 * tens of thousands of rules of others. `groups`: chains that should be there; those that are reached are found.
 */
export async function observeHostPorts(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
  tables: readonly ("nat" | "raw")[],
  groups: readonly string[],
): Promise<ObservedHostPorts> {
  const chains = new Map<string, readonly string[]>();
  const bases = new Map<string, readonly string[]>();
  const look = async (table: "nat" | "raw", chain: string) => {
    const rules = await observeChain(host, family, variant, table, chain);
    if (rules !== null) chains.set(chain, rules);
    return rules ?? [];
  };
  const lookAtBase = async (table: "nat" | "raw", base: string) => {
    bases.set(`${table} ${base}`, await observeBaseChain(host, family, variant, table, base));
  };
  const work: Promise<unknown>[] = [];
  for (const table of tables) {
    for (const base of new Set(
      HOST_PORT_JUMPS.filter((jump) => jump.table === table).map((jump) => jump.base),
    )) {
      work.push(lookAtBase(table, base));
    }
    if (table === "raw") {
      work.push(look(table, LOCALNET_CHAIN));
      continue;
    }
    work.push(look(table, HOST_PORT_SNAT_CHAIN), ...groups.map((group) => look(table, group)));
    work.push(
      look(table, HOST_PORT_CHAIN).then(async (rules) => {
        const reached = groupsIn(rules);
        const isLost = reached.length === 0 && (chains.has(HOST_PORT_CHAIN) || groups.length === 0);
        const found = isLost ? await groupsAnywhere(host, family, variant) : reached;
        const others = found.filter((group) => !groups.includes(group));
        await Promise.all(others.map((group) => look(table, group)));
      }),
    );
  }
  await Promise.all(work);
  return { tables, chains, bases };
}

/**
 * Chains of ports, though nothing leads to them any more: somebody flushed the one that did. A look at the whole table, which
 * is never needed otherwise; one that iptables can't read has none for us.
 */
async function groupsAnywhere(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
): Promise<string[]> {
  const argv = [iptablesProgram(family, variant), "-w", LOCK_WAIT_S, "-t", "nat", "-S"];
  const { stdout } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  return stdout.split("\n").flatMap((line) => {
    const chain = line.replace(/^-N /, "");
    return chain.startsWith(DNAT_PREFIX) ? [chain] : [];
  });
}

/** Our table of nftables; null: there is none. */
export async function observeHostPortTable(host: Host): Promise<ObservedHostPortTable | null> {
  if (host.findProgram("nft") === null) {
    throw new HostError("no nft on the PATH, which the host ports of this node need", "install nftables");
  }
  const child = await host.spawn({ argv: ["nft", "list", "table", "inet", HOST_PORT_TABLE] });
  const listed = foundTable(child);
  return listed === null ? null : parseHostPortTable(listed);
}
