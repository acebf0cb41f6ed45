import type { Programs } from "../../../doctor/sections/programs.ts";
import { messageOf } from "../../../host/errors.ts";
import { isFamilyThere, isTableThere, namedVariants, plainVariant } from "../../../host/iptables.ts";
import type { Host } from "../../../host/machine.ts";
import { FAMILIES, type Family } from "../../../net/address.ts";
import { iptablesProgram } from "../../../plan/format.ts";
import type { IptablesVariant } from "../../../plan/step.ts";
import type { DoctorContext } from "./context.ts";
import { isInPod } from "./place.ts";
import { askOnce } from "./rules.ts";

/** How each program tells its version. */
const LOOKED_FOR = [
  ["ip", "-V"],
  ["iptables", "-V"],
  ["nft", "-v"],
] as const;
const TABLES = ["filter", "nat", "mangle"];
const KUBE = /^:(KUBE-(?:IPTABLES-HINT|KUBELET-CANARY|POSTROUTING|FORWARD|SERVICES|PROXY-CANARY))\b/;
const OURS = /^:(MINICNI-[A-Z]+)(?= |-)/;
const TIMEOUT_MS = 20_000;

/** The programs on the PATH, and what is in which iptables. */
export async function collectPrograms(context: DoctorContext): Promise<Programs> {
  const { host, agent } = context;
  const unseen: string[] = [];
  const found = await Promise.all(LOOKED_FOR.map(([name, flag]) => observeProgram(name, flag, host)));
  const hasPlain = found.some(({ name, path }) => name === "iptables" && path !== null);
  const variants = await Promise.all(
    namedVariants(host).map((variant) => observeVariant(variant, context, unseen)),
  );
  return {
    found,
    plain: hasPlain ? await plainVariant(host) : null,
    variants,
    agent: agent?.rules.variant ?? null,
    isImage: isInPod(),
    unseen: [...new Set(unseen)],
  };
}

async function observeProgram(name: string, flag: string, host: Host): Promise<Programs["found"][number]> {
  const path = host.findProgram(name);
  if (path === null) return { name, path, version: null };
  try {
    const { exitCode, stdout } = await host.spawn({ argv: [name, flag], timeoutMs: TIMEOUT_MS });
    const [first = ""] = stdout.trim().split("\n");
    return { name, path, version: exitCode === 0 && first !== "" ? first : null };
  } catch {
    // It is there, and can't be run: so it says nothing.
    return { name, path, version: null };
  }
}

async function observeVariant(
  variant: IptablesVariant,
  context: DoctorContext,
  unseen: string[],
): Promise<Programs["variants"][number]> {
  const { host } = context;
  const kube = new Set<string>();
  const ours = new Set<string>();
  const families = new Set<Family>();
  let rules = 0;
  for (const family of FAMILIES.filter((known) => isFamilyThere(host, known))) {
    // Looking into a table of x_tables would make it.
    for (const table of TABLES) {
      const argv = [iptablesProgram(family, variant, "save"), "-t", table];
      try {
        if (!isTableThere(host, family, variant, table)) continue;
        const { exitCode, stdout, stderr } = await askOnce(context, argv);
        if (exitCode !== 0) unseen.push(`\`${argv.join(" ")}\`: ${stderr.trim()}`);
        // iptables-nft prints nothing of a table in which somebody else has rules that it can't say.
        if (/^# Table .* incompatible/m.test(stdout))
          unseen.push(`\`${argv.join(" ")}\`: the table has rules that were not made by iptables`);
        for (const line of stdout.split("\n")) {
          const [chain, ourChain] = [KUBE.exec(line)?.[1], OURS.exec(line)?.[1]];
          if (chain !== undefined) kube.add(chain);
          if (ourChain !== undefined) ours.add(ourChain);
          if (chain !== undefined || ourChain !== undefined) families.add(family);
          if (line.startsWith("-A ")) rules++;
        }
      } catch (error) {
        unseen.push(messageOf(error));
      }
    }
  }
  return { variant, kube: [...kube].sort(), ours: [...ours].sort(), rules, families: [...families].sort() };
}
