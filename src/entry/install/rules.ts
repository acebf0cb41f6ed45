import { isFamilyThere, isTableThere } from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES } from "../../net/address.ts";
import { iptablesProgram } from "../../plan/format.ts";
import type { IptablesVariant, Step } from "../../plan/step.ts";
import { planChainsRemoval, planTablesRemoval } from "../../topology/uninstall-rules.ts";
import { planRemoval, type RulesPlace, unlessFailed } from "../agent/rules-chains.ts";

const VARIANTS: readonly IptablesVariant[] = ["nft", "legacy"];

const NO_IPTABLES =
  "rules: no iptables on the PATH, and chains of minicni may be there: install it, or use that of minicni's image; " +
  "a reboot takes them away as well";

/** The steps that take all of our rules out of both iptables, for both families, and out of nftables. */
export async function planRulesRemoval(host: Host, faults: string[]): Promise<Step[]> {
  const steps: Step[] = [];
  const places = placesOf(host);
  if (places.length === 0 && (await mayHaveChains(host))) faults.push(NO_IPTABLES);
  for (const place of places) {
    const planAll = async () => [
      ...(await planRemoval(host, place, faults)).plan,
      ...(await planMasquerade(place, host)),
    ];
    steps.push(...((await unlessFailed(faults, planAll)) ?? []));
  }
  // On a node without it the plugin, which runs it, made no tables.
  if (host.findProgram("nft") === null) return steps;
  const { exitCode, stdout, stderr } = await host.spawn({ argv: ["nft", "list", "tables"] });
  if (exitCode !== 0) faults.push(`\`nft list tables\` failed: ${inLine(stderr)}`);
  return [...steps, ...planTablesRemoval(exitCode === 0 ? stdout : "")];
}

/** Without iptables: whether there is anything in its tables that could be ours. */
async function mayHaveChains(host: Host): Promise<boolean> {
  const isLegacy = FAMILIES.some((family) =>
    ["filter", "nat"].some((table) => isTableThere(host, family, "legacy", table)),
  );
  if (isLegacy || host.findProgram("nft") === null) return true;
  const { exitCode, stdout } = await host.spawn({ argv: ["nft", "list", "chains"] });
  return exitCode !== 0 || /^\s*chain MINICNI-/m.test(stdout);
}

/** Both iptables as far as they are there; the plain one where it has no other name. */
function placesOf(host: Host): RulesPlace[] {
  const isThere = (variant: IptablesVariant | undefined) =>
    host.findProgram(iptablesProgram(4, variant)) !== null;
  const named: (IptablesVariant | undefined)[] = VARIANTS.filter(isThere);
  const variants = named.length === 0 && isThere(undefined) ? [undefined] : named;
  return FAMILIES.filter((family) => isFamilyThere(host, family)).flatMap((family) =>
    variants.map((variant) => ({ family, variant })),
  );
}

async function planMasquerade({ family, variant }: RulesPlace, host: Host): Promise<Step[]> {
  if (!isTableThere(host, family, variant, "nat")) return [];
  const argv = [iptablesProgram(family, variant, "save"), "-t", "nat"];
  const { exitCode, stdout, stderr } = await host.spawn({ argv });
  if (exitCode !== 0) throw new Error(`\`${argv.join(" ")}\` failed: ${inLine(stderr)}`);
  return planChainsRemoval(family, variant, stdout);
}

function inLine(stderr: string): string {
  return stderr.trim().replace(/\s*\n\s*/g, "; ");
}
