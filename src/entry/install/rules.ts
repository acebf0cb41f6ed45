import {
  hasPlainIptables,
  isFamilyThere,
  isTableThere,
  namedVariants,
  plainVariant,
} from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES } from "../../net/address.ts";
import { iptablesProgram } from "../../plan/format.ts";
import type { IptablesVariant, Step } from "../../plan/step.ts";
import {
  planChainsRemoval,
  planForeignJumpsRemoval,
  planTablesRemoval,
  type SavedTable,
} from "../../topology/uninstall-rules.ts";
import { planRemoval, type RulesPlace, unlessFailed } from "../agent/rules-chains.ts";

const TABLES = ["filter", "nat"] as const;
/** With that of host ports at 127.0.0.1. */
const ALL_TABLES = [...TABLES, "raw"] as const;
const WAY_OUT = "install it, or use that of minicni's image; a reboot takes them away as well";

/** The steps that take all of our rules out of both iptables, for both families, and out of nftables. */
export async function planRulesRemoval(host: Host, faults: string[]): Promise<Step[]> {
  const steps: Step[] = [];
  for (const place of placesOf(host)) {
    steps.push(...((await unlessFailed(faults, () => planPlace(host, place, faults))) ?? []));
  }
  faults.push(...((await unlessFailed(faults, () => describeUnreadable(host))) ?? []));
  // Whether tables of ours are there then, the records tell: see obstacles.
  if (host.findProgram("nft") === null) return steps;
  const { exitCode, stdout, stderr } = await host.spawn({ argv: ["nft", "list", "tables"] });
  if (exitCode !== 0) faults.push(`\`nft list tables\` failed: ${inLine(stderr)}`);
  return [...steps, ...planTablesRemoval(exitCode === 0 ? stdout : "")];
}

async function planPlace(host: Host, place: RulesPlace, faults: string[]): Promise<Step[]> {
  const { family, variant } = place;
  const saved: SavedTable[] = [];
  for (const table of ALL_TABLES.filter((each) => isTableThere(host, family, variant, each)))
    saved.push({ family, variant, table, saved: await save(host, place, table) });
  return [
    ...saved.flatMap(planForeignJumpsRemoval),
    ...(await planRemoval(host, place, faults)).plan,
    ...saved.filter(({ table }) => table !== "filter").flatMap(planChainsRemoval),
  ];
}

async function save(host: Host, { family, variant }: RulesPlace, table: string): Promise<string> {
  const argv = [iptablesProgram(family, variant, "save"), "-t", table];
  const { exitCode, stdout, stderr } = await host.spawn({ argv });
  if (exitCode === 0) return stdout;
  throw new Error(`\`${argv.join(" ")}\` failed: ${inLine(stderr)}`);
}

/** The variants whose tables may have chains of ours, and whose iptables is not there to see, as a node often has but one. */
async function describeUnreadable(host: Host): Promise<string[]> {
  const named = namedVariants(host);
  // Where the plain one has no other name it says itself what it is.
  const known = named.length === 0 && hasPlainIptables(host) ? [await plainVariant(host)] : named;
  const lacks = (variant: IptablesVariant) => !known.includes(variant);
  const faults: string[] = [];
  const isLegacy = FAMILIES.some((family) =>
    TABLES.some((table) => isTableThere(host, family, "legacy", table)),
  );
  if (lacks("legacy") && isLegacy)
    faults.push(`tables of iptables-legacy are there, and no such iptables on the PATH: ${WAY_OUT}`);
  if (lacks("nft") && (await mayNftHaveChains(host, known.length === 0)))
    faults.push(`chains of iptables-nft may be there, and no such iptables on the PATH: ${WAY_OUT}`);
  return faults;
}

/** Without nft: where the module is there, or no iptables at all (it may be built in). */
async function mayNftHaveChains(host: Host, isBlind: boolean): Promise<boolean> {
  if (host.findProgram("nft") === null)
    return isBlind || /^nf_tables /m.test(host.readFile("/proc/modules") ?? "");
  const { exitCode, stdout } = await host.spawn({ argv: ["nft", "list", "chains"] });
  return exitCode !== 0 || /^\s*chain MINICNI-/m.test(stdout);
}

/** Both iptables as far as they are there; the plain one where it has no other name. */
function placesOf(host: Host): RulesPlace[] {
  const named = namedVariants(host);
  const variants = named.length === 0 && hasPlainIptables(host) ? [undefined] : named;
  return FAMILIES.filter((family) => isFamilyThere(host, family)).flatMap((family) =>
    variants.map((variant) => ({ family, variant })),
  );
}

function inLine(stderr: string): string {
  return stderr.trim().replace(/\s*\n\s*/g, "; ");
}
