import { DEFAULT_BRIDGE } from "../../cni/config.ts";
import { HostError, OverdueError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { type NftTableName, observeNftTable, observeNftTables } from "../../host/nft.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import type { NftTable } from "../../plan/ruleset.ts";
import { describeForwardBlock, type PodTraffic } from "../../topology/forward-blocks.ts";
import type { Rules } from "./rules.ts";

/** Firewalls change seldom; a look costs a spawn for each foreign table, in milliseconds. */
const PERIOD_MS = 60_000;
/** As long as something is blocked somebody may be about to repair it. */
const BLOCKED_PERIOD_MS = 10_000;
/** Tables of programs come in a handful. */
const MOST_TABLES = 32;

/** Those of kube-proxy judge Services alone, and are large. */
const HARMLESS = /^(kube-proxy|minicni_masq_[0-9a-f]{8})$/;
/** Of iptables-nft (and large as well): only `filter` has chains of the forward hook that decide. */
const IPTABLES = /^(nat|mangle|raw|security)$/;

/**
 * Rules that also tell which foreign tables of nftables drop what pods send each other although ours accept it, such as
 * firewalld's. Looked at when the rules are kept, once a minute.
 */
export function watchForwardBlocks(
  rules: Rules,
  host: Pick<Host, "spawn" | "findProgram" | "log">,
  nowMs: () => number,
): Rules {
  let blocks: readonly string[] = [];
  let dueAt = Number.NEGATIVE_INFINITY;
  return {
    resync: async (wish, options) => {
      const outcome = await rules.resync(wish, options);
      if (nowMs() >= dueAt) {
        const hasJump = outcome.variant !== "legacy";
        blocks = await findForwardBlocks(host, { ...wish, bridge: DEFAULT_BRIDGE }, hasJump);
        dueAt = nowMs() + (blocks.length > 0 ? BLOCKED_PERIOD_MS : PERIOD_MS);
      }
      return { ...outcome, forwardBlocks: blocks };
    },
  };
}

/**
 * `hasJump`: our chains are in the tables of iptables-nft. Nothing that is met here is a fault of the node's: what can't
 * be looked at is told once, as a notice.
 */
async function findForwardBlocks(
  host: Pick<Host, "spawn" | "findProgram" | "log">,
  traffic: PodTraffic,
  hasJump: boolean,
): Promise<string[]> {
  if (host.findProgram("nft") === null) {
    host.log("no nft on the PATH: whether a firewall of this node drops pods' packets is not looked at");
    return [];
  }
  const found: string[] = [];
  try {
    // What iptables has in the chain FORWARD is behind our own jump, which is the first rule there.
    for (const table of await observeForeignTables(host, hasJump ? FAMILIES : [])) {
      const block = describeForwardBlock(table, traffic);
      if (block !== null) found.push(block);
    }
  } catch (error) {
    if (error instanceof OverdueError || !(error instanceof HostError)) throw error;
    host.log(`whether a firewall of this node drops pods' packets can't be seen: ${error.message}`);
  }
  return found;
}

/**
 * The tables of nftables of others that can drop what is forwarded. `spared`: families whose chain FORWARD of iptables-nft
 * is looked at otherwise, and left out. Throws HostError when nft does not answer.
 */
export async function observeForeignTables(
  host: Pick<Host, "spawn">,
  spared: readonly Family[],
): Promise<NftTable[]> {
  const names = (await observeNftTables(host)).filter(isForeign).slice(0, MOST_TABLES);
  const tables: NftTable[] = [];
  for (const name of names) {
    const table = await observeNftTable(host, name);
    const isSpared = isOfIptables(name) && spared.includes(name.family === "ip" ? 4 : 6);
    const chains = isSpared ? table.chains.filter(({ name: own }) => own !== "FORWARD") : table.chains;
    tables.push({ ...table, chains });
  }
  return tables;
}

function isForeign(name: NftTableName): boolean {
  return !HARMLESS.test(name.name) && !(name.family !== "inet" && IPTABLES.test(name.name));
}

function isOfIptables({ family, name }: NftTableName): boolean {
  return family !== "inet" && name === "filter";
}
