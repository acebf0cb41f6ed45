import { ExecuteError, OverdueError } from "../../host/errors.ts";
import {
  type HostPortLedger,
  portRulesLock,
  readSettled,
  type Settled,
  writeSettled,
} from "../../host/host-port-claims.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import { iptablesProgram } from "../../plan/format.ts";
import type { IptablesVariant, Plan } from "../../plan/step.ts";
import { describeHostPorts, type HostPortChains, hostPortChains } from "../../topology/host-ports.ts";
import {
  type HostPortTable,
  hostPortTable,
  type ObservedHostPortTable,
  planHostPortTable,
  settledTable,
} from "../../topology/host-ports-nft.ts";
import { type ObservedHostPorts, planHostPorts, settledAs } from "../../topology/host-ports-plan.ts";
import { firstVariant, usableVariant } from "./backend.ts";
import { changeLedger, currentLedger, placesOf } from "./ledger.ts";
import { observeHostPorts, observeHostPortTable } from "./observe.ts";

const LOCK_TIMEOUT_MS = 60_000;

/** What was not as the claims say. */
export interface SettleReport {
  readonly plan: Plan;
  /** Chains and tables, for a log. */
  readonly changed: readonly string[];
}

const NOTHING: SettleReport = { plan: [], changed: [] };

/** The rules as they should be, from the claims of a node. */
interface Desired {
  readonly families: Readonly<Record<Family, HostPortChains>>;
  readonly table: HostPortTable | null;
  /** Where to look: what is there, and what should be. */
  readonly places: HostPortLedger["places"];
  readonly variant: IptablesVariant | undefined;
}

/** What is there; null for what was not looked at. */
interface Observed {
  readonly families: Readonly<Record<Family, ObservedHostPorts | null>>;
  readonly table: ObservedHostPortTable | null;
}

function describe(ledger: HostPortLedger, variant: IptablesVariant | undefined): Desired {
  const by = (backend: string) => ledger.claims.filter((claim) => claim.backend === backend);
  const chains = (family: Family) => hostPortChains(describeHostPorts(by("iptables"), family));
  const nft = by("nftables");
  return {
    families: { 4: chains(4), 6: chains(6) },
    table: hostPortTable(FAMILIES.map((family) => describeHostPorts(nft, family))),
    places: ledger.places,
    variant,
  };
}

/** The program by whose rules' generation all of them can be told to be unchanged. */
function generationOf({ places, variant }: Desired, host: Host): string | null {
  const isIptables = places.some((place) => place !== "nftables");
  return host.rulesGeneration(isIptables ? iptablesProgram(4, variant) : "nft");
}

async function observe(desired: Desired, host: Host): Promise<Observed> {
  const look = async (family: Family): Promise<ObservedHostPorts | null> => {
    const tables = tablesOf(desired, family);
    if (tables.length === 0) return null;
    const groups = desired.families[family].groups.map(({ chain }) => chain);
    return await observeHostPorts(host, family, desired.variant, tables, groups);
  };
  const [v4, v6, table] = await Promise.all([
    look(4),
    look(6),
    desired.places.includes("nftables") ? observeHostPortTable(host) : null,
  ]);
  return { families: { 4: v4, 6: v6 }, table };
}

function planChanges({ families, table, places, variant }: Desired, observed: Observed): SettleReport {
  const parts = FAMILIES.map((family) => {
    const found = observed.families[family];
    return found === null ? NOTHING : planHostPorts(families[family], found, variant);
  });
  const nft = places.includes("nftables") ? planHostPortTable(table, observed.table) : [];
  return {
    plan: [...parts.flatMap(({ plan }) => plan), ...nft],
    changed: [...parts.flatMap(({ changed }) => changed), ...(nft.length > 0 ? ["nftables"] : [])],
  };
}

/** What was seen before, if nothing has changed since, and all that is asked for was seen. */
function known(settled: Settled | null, desired: Desired, generation: string | null): Observed | null {
  if (settled === null || generation === null || settled.generation !== generation) return null;
  if (settled.variant !== (desired.variant ?? null)) return null;
  if (!desired.places.every((place) => settled.places.includes(place))) return null;
  const family = (key: Family): ObservedHostPorts | null => {
    const tables = tablesOf(desired, key);
    if (tables.length === 0) return null;
    const { chains, bases } = settled.families[key];
    return { tables, chains: new Map(Object.entries(chains)), bases: new Map(Object.entries(bases)) };
  };
  const { table } = settled;
  const elements = new Map(Object.entries(table?.elements ?? {}));
  return { families: { 4: family(4), 6: family(6) }, table: table && { ...table, elements } };
}

/** The tables of iptables that are ours to look at. */
function tablesOf({ places }: Desired, family: Family): ("nat" | "raw")[] {
  return [
    ...(places.includes(`ipv${family}`) ? (["nat"] as const) : []),
    ...(family === 4 && places.includes("raw") ? (["raw"] as const) : []),
  ];
}

/** The number behind the namespace in a generation. */
function countOf(generation: string): number {
  return Number(generation.slice(generation.lastIndexOf("/") + 1));
}

/** Each transaction is one generation; were there more, somebody else had a hand in it. */
function transactions(plan: Plan): number {
  return plan.reduce((sum, step) => {
    if (step.op === "rules.nft") return sum + 1;
    return step.op === "rules.restore" ? sum + step.lines.filter((line) => line === "COMMIT").length : sum;
  }, 0);
}

/** What the kernel has behind the plan; null where that can't be told. */
function settledBehind(
  desired: Desired,
  plan: Plan,
  before: string | null,
  after: string | null,
): Settled | null {
  if (before === null || after === null || countOf(after) !== countOf(before) + transactions(plan))
    return null;
  const family = (key: Family) => {
    const { chains, bases } = settledAs(desired.families[key]);
    return { chains: entriesOf(chains), bases: entriesOf(bases) };
  };
  const table = settledTable(desired.table);
  return {
    generation: after,
    variant: desired.variant ?? null,
    places: [...desired.places],
    families: { 4: family(4), 6: family(6) },
    table: table && { ...table, elements: entriesOf(table.elements) },
  };
}

function entriesOf(map: ReadonlyMap<string, readonly string[]>): Record<string, string[]> {
  return Object.fromEntries([...map].map(([key, list]) => [key, [...list]]));
}

/** Which iptables has the rules: claims that were made anew from records do not tell, so it is chosen as at first. */
async function variantOf({ variant, places }: HostPortLedger, host: Host): Promise<IptablesVariant | null> {
  const isIptables = places.some((place) => place !== "nftables");
  return variant === null && isIptables ? await firstVariant(host) : variant;
}

/** What would have to change for the rules to be as a ledger says, by what is really there. */
export async function planSettle(ledger: HostPortLedger, host: Host): Promise<SettleReport> {
  if (ledger.places.length === 0) return NOTHING;
  const desired = describe(ledger, usableVariant(await variantOf(ledger, host), host));
  return planChanges(desired, await observe(desired, host));
}

/**
 * Brings the rules of host ports to what the claims say: looked at, unless nothing of nf_tables has changed since our own
 * last change.
 */
export async function settle(stateDir: string, host: Host): Promise<SettleReport> {
  return await host.withLock(portRulesLock(stateDir), LOCK_TIMEOUT_MS, async () => {
    const ledger = currentLedger(stateDir, host);
    if (ledger.places.length === 0) return NOTHING;
    const variant = await variantOf(ledger, host);
    if (variant !== ledger.variant) await changeLedger(stateDir, host, (found) => ({ ...found, variant }));
    const desired = describe(ledger, usableVariant(variant, host));
    const before = generationOf(desired, host);
    const seen = known(readSettled(host, stateDir), desired, before);
    const report = planChanges(desired, seen ?? (await observe(desired, host)));
    const done = seen === null ? await run(report, host) : await runOrLook(report, desired, host);
    if (done.plan.length > 0 || seen === null) {
      writeSettled(host, stateDir, settledBehind(desired, done.plan, before, generationOf(desired, host)));
    }
    await forgetEmptyPlaces(ledger, stateDir, host);
    return done;
  });
}

async function run(report: SettleReport, host: Host): Promise<SettleReport> {
  if (report.plan.length > 0) await host.execute(report.plan);
  return report;
}

/** What was known may be wrong all the same (another namespace of nf_tables owners, a number that went round): look then. */
async function runOrLook(report: SettleReport, desired: Desired, host: Host): Promise<SettleReport> {
  try {
    return await run(report, host);
  } catch (error) {
    if (!(error instanceof ExecuteError) || error instanceof OverdueError) throw error;
  }
  return await run(planChanges(desired, await observe(desired, host)), host);
}

/** Behind a change all is as the claims say: where no claim is, no rule is. */
async function forgetEmptyPlaces(seen: HostPortLedger, stateDir: string, host: Host): Promise<void> {
  const used = placesOf(seen.claims);
  if (seen.places.every((place) => used.includes(place))) return;
  await changeLedger(stateDir, host, (ledger) => {
    const wanted = placesOf(ledger.claims);
    const places = ledger.places.filter((place) => used.includes(place) || wanted.includes(place));
    // With no rule anywhere the choice is free again: kubelet may have made its own since.
    return { ...ledger, places, variant: places.length === 0 ? null : ledger.variant };
  });
}
