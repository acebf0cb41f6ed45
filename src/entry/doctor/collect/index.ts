import type { Facts, Section, SectionName } from "../../../doctor/facts.ts";
import type { Seen } from "../../../doctor/seen.ts";
import { HostError, messageOf } from "../../../host/errors.ts";
import { VERSION } from "../../version.ts";
import { collectConntrack } from "./conntrack.ts";
import type { Collector, DoctorContext } from "./context.ts";

/** Who looks at what. One line each, by the alphabet. */
const COLLECTORS: { readonly [N in SectionName]: Collector<Section<N>> } = {
  conntrack: collectConntrack,
};

/** Looks at everything; what can't be seen keeps nothing else from being seen. `tell`: what is being looked at. */
export async function collectFacts(
  context: DoctorContext,
  now: Date,
  tell: (section: string) => void,
): Promise<Facts> {
  const names = Object.keys(COLLECTORS) as SectionName[];
  const sections: Partial<Record<SectionName, Seen<unknown>>> = {};
  for (const name of names) {
    tell(name);
    sections[name] = await collectOne(() => COLLECTORS[name](context));
  }
  return {
    version: 1,
    takenAt: now.toISOString(),
    minicni: VERSION,
    sections: sections as Facts["sections"],
  };
}

async function collectOne(look: () => unknown): Promise<Seen<unknown>> {
  try {
    return { seen: await look() };
  } catch (error) {
    return { unseen: error instanceof HostError ? `${error.message} (${error.hint})` : messageOf(error) };
  }
}
