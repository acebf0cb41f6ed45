import { hasPlainIptables, namedVariants, plainVariant } from "../../../host/iptables.ts";
import type { Finished } from "../../../host/machine.ts";
import type { IptablesVariant } from "../../../plan/step.ts";
import type { DoctorContext } from "./context.ts";

/** One of the iptables of this node. */
export interface Variant {
  /** Undefined: the plain programs, where there are no others. */
  readonly variant: IptablesVariant | undefined;
  /** Which one it is. */
  readonly kind: IptablesVariant;
}

/** Every iptables that can be looked at; none where there is none. */
export async function iptablesVariants(host: DoctorContext["host"]): Promise<Variant[]> {
  const named = namedVariants(host);
  if (named.length > 0) return named.map((variant) => ({ variant, kind: variant }));
  return hasPlainIptables(host) ? [{ variant: undefined, kind: await plainVariant(host) }] : [];
}

/** Of a table with 20,000 rules a save takes well below a second. */
const TIMEOUT_MS = 15_000;
const asked = new WeakMap<DoctorContext, Map<string, Promise<Finished>>>();

/** What a program prints of the rules: once for all sections of a run. */
export function askOnce(context: DoctorContext, argv: readonly string[]): Promise<Finished> {
  const known = asked.get(context) ?? new Map<string, Promise<Finished>>();
  asked.set(context, known);
  const key = argv.join(" ");
  const answer = known.get(key) ?? context.host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  known.set(key, answer);
  return answer;
}

/** The tables of nftables, `inet firewalld`; null where nft is not there. */
export async function nftTables(context: DoctorContext): Promise<(Finished & { names: string[] }) | null> {
  if (context.host.findProgram("nft") === null) return null;
  const answer = await askOnce(context, ["nft", "list", "tables"]);
  return { ...answer, names: [...answer.stdout.matchAll(/^table (.+)$/gm)].map(([, name = ""]) => name) };
}
