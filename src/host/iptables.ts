import { FAMILIES, type Family } from "../net/address.ts";
import { iptablesProgram } from "../plan/format.ts";
import type { IptablesVariant } from "../plan/step.ts";
import { HostError } from "./errors.ts";
import type { Host } from "./machine.ts";

/** Which iptables this machine's rules are in. */
export interface VariantChoice {
  /** Undefined: the plain programs, since there is no other name for the chosen one. */
  readonly variant: IptablesVariant | undefined;
  /** The other one, when it can be looked at: chains of ours may be left there. */
  readonly others: readonly IptablesVariant[];
  /** Why the choice may be wrong; null when it is sure. */
  readonly warning: string | null;
}

const VARIANTS: readonly IptablesVariant[] = ["nft", "legacy"];
const IPV6 = "/proc/sys/net/ipv6/conf/all/forwarding";
const TABLE_NAMES: Readonly<Record<Family, string>> = {
  4: "/proc/net/ip_tables_names",
  6: "/proc/net/ip6_tables_names",
};
/** Seconds for the xtables lock, which a kube-proxy with many services holds for long. */
const LOCK_WAIT_S = "10";
/** Above {@link LOCK_WAIT_S}, so that the program itself says what it waited for. */
const TIMEOUT_MS = 15_000;

interface KubeChain {
  readonly table: string;
  readonly chain: string;
  /** Made by kubelet, which runs on the host and so has the host's own iptables. */
  readonly isKubelet: boolean;
}

/** KEP-3178 (the hint), and what iptables-wrappers of kubernetes-sigs looks for; each chain is a short one. */
const KUBE_CHAINS: readonly KubeChain[] = [
  { table: "mangle", chain: "KUBE-IPTABLES-HINT", isKubelet: true },
  { table: "mangle", chain: "KUBE-KUBELET-CANARY", isKubelet: true },
  { table: "nat", chain: "KUBE-POSTROUTING", isKubelet: false },
  { table: "filter", chain: "KUBE-FORWARD", isKubelet: false },
];

/** The variants that have a program of their own name here. */
export function namedVariants(host: Pick<Host, "findProgram">): IptablesVariant[] {
  return VARIANTS.filter((variant) => host.findProgram(iptablesProgram(4, variant)) !== null);
}

/** Whether there is the plain `iptables`, whichever it is. */
export function hasPlainIptables(host: Pick<Host, "findProgram">): boolean {
  return host.findProgram(iptablesProgram(4)) !== null;
}

/** Whether this kernel has the family at all. */
export function isFamilyThere(host: Host, family: Family): boolean {
  return family === 4 || host.isFile(IPV6);
}

/**
 * Whether a table can hold rules of this variant. Looking into a table of x_tables would make it, and everything would
 * pass through it from then on; nf_tables makes none for a look.
 */
export function isTableThere(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
  table: string,
): boolean {
  if (variant !== "legacy") return true;
  return (host.readFile(TABLE_NAMES[family]) ?? "").split("\n").includes(table);
}

/**
 * The rules of a chain as `iptables -S` prints them, in one spawn that costs milliseconds in a table of 20,000 rules;
 * null when there is no such chain. Throws HostError when that can't be known.
 */
export async function observeChain(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
  table: string,
  chain: string,
): Promise<string[] | null> {
  const argv = [iptablesProgram(family, variant), "-w", LOCK_WAIT_S, "-t", table, "-S", chain];
  const { exitCode, stdout, stderr, timedOut } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  if (exitCode === 0) return linesOf(stdout, `-A ${chain} `);
  // "Incompatible" is also what iptables-nft 1.8.9 says of a chain that is not there.
  if (exitCode === 1 && /No chain|does not exist|is incompatible/.test(stderr)) return null;
  const said = timedOut ? "no answer in time" : stderr.trim();
  throw new HostError(`\`${argv.join(" ")}\` failed: ${said}`, "run it by hand to see more");
}

/**
 * The rules of a built-in chain. One that somebody gave rules of nftables that iptables has no words for is read by
 * nft, as far as jumps and verdicts go. Throws HostError when neither can read it.
 */
export async function observeBaseChain(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
  table: string,
  chain: string,
): Promise<string[]> {
  const found = await observeChain(host, family, variant, table, chain);
  if (found !== null) return found;
  const argv = ["nft", "list", "chain", family === 4 ? "ip" : "ip6", table, chain];
  const { exitCode, stdout, stderr } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  if (exitCode === 0) return parseNftChain(stdout, chain);
  throw new HostError(
    `chain ${chain} of table ${table} can be read neither by ${iptablesProgram(family, variant)} nor by nft: ${stderr.trim()}`,
    "take the rules out of it that were not made by iptables",
  );
}

/** The rules that `nft list chain` prints, with their verdicts in the words of iptables. */
function parseNftChain(text: string, chain: string): string[] {
  const rules = text.split("\n").slice(2, text.trimEnd().split("\n").length - 2);
  return rules.flatMap((line) => {
    const rule = line.trim().replace(/\bcounter packets \d+ bytes \d+ ?/g, "");
    if (rule === "" || rule.startsWith("type ")) return [];
    const words = rule
      .replace(/(^| )jump (\S+)$/, "$1-j $2")
      .replace(/(^| )goto (\S+)$/, "$1-g $2")
      .replace(/(^| )drop$/, "$1-j DROP")
      .replace(/(^| )reject\b.*$/, "$1-j REJECT");
    return [`-A ${chain} ${words}`];
  });
}

/** Whether the packets that no rule of FORWARD decides on are dropped; false as well when that can't be known. */
export async function isForwardDropping(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
): Promise<boolean> {
  const argv = [iptablesProgram(family, variant), "-w", LOCK_WAIT_S, "-S", "FORWARD"];
  const { exitCode, stdout } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
  return exitCode === 0 && stdout.startsWith("-P FORWARD DROP");
}

function linesOf(text: string, start: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith(start));
}

/**
 * Chooses as iptables-wrappers of kubernetes-sigs does: where kubelet's chains are, else where kube-proxy's are, else
 * what `iptables` is on this machine. Throws HostError where there is no iptables.
 */
export async function chooseVariant(host: Host): Promise<VariantChoice> {
  const named = namedVariants(host);
  const isPlainThere = hasPlainIptables(host);
  if (!isPlainThere && named.length === 0)
    throw new HostError(
      "no iptables on the PATH",
      "install iptables, or use the image of minicni, which has it",
    );
  const seen = await Promise.all(
    named.map(async (variant) => ({ variant, chains: await kubeChains(host, variant) })),
  );
  const holders = seen.filter(({ chains }) => chains.length > 0);
  const kubelets = holders.filter(({ chains }) => chains.some(({ isKubelet }) => isKubelet));
  const proxies = holders.filter(({ chains }) => chains.some(({ table }) => table === "nat"));
  const single = [holders, kubelets, proxies].find((found) => found.length === 1);
  const chosen = (single ?? holders)[0]?.variant ?? (isPlainThere ? await plainVariant(host) : named[0]);
  const lists = holders.map(
    ({ variant, chains }) => `${variant}: ${chains.map(({ chain }) => chain).join(" ")}`,
  );
  return {
    variant: named.find((variant) => variant === chosen),
    others: named.filter((variant) => variant !== chosen),
    warning:
      holders.length < 2
        ? null
        : `KUBE-* chains in both nft and legacy (${lists.join("; ")}): ${chosen} is used; ` +
          "remove those of the iptables that kubelet and kube-proxy no longer use",
  };
}

async function kubeChains(host: Host, variant: IptablesVariant): Promise<KubeChain[]> {
  const looked = await Promise.all(
    KUBE_CHAINS.map(async (known) => {
      for (const family of FAMILIES) {
        if (!isFamilyThere(host, family) || !isTableThere(host, family, variant, known.table)) continue;
        // What can't be looked at is no reason to choose it.
        const rules = await observeChain(host, family, variant, known.table, known.chain).catch(() => null);
        if (rules !== null) return [known];
      }
      return [];
    }),
  );
  return looked.flat();
}

/** Which of the two the plain `iptables` is; before 1.8 there was but one, and it said nothing. */
export async function plainVariant(host: Host): Promise<IptablesVariant> {
  const { stdout } = await host.spawn({ argv: ["iptables", "--version"], timeoutMs: TIMEOUT_MS });
  return stdout.includes("nf_tables") ? "nft" : "legacy";
}

const PROBE = [
  "*nat",
  ":MINICNI-PROBE - [0:0]",
  "-A MINICNI-PROBE -j MASQUERADE --random-fully",
  "COMMIT",
  "",
];

/**
 * Whether MASQUERADE knows `--random-fully` (flannel#1702: old ones refuse the whole input). `--test` parses and
 * builds, and commits nothing. Throws HostError when it fails for another reason.
 */
export async function isRandomFullyKnown(
  host: Host,
  family: Family,
  variant: IptablesVariant | undefined,
): Promise<boolean> {
  const argv = [iptablesProgram(family, variant, "restore"), "--noflush", "--test", "-w", LOCK_WAIT_S];
  const { exitCode, stderr } = await host.spawn({ argv, stdin: PROBE.join("\n"), timeoutMs: TIMEOUT_MS });
  if (exitCode === 0) return true;
  if (stderr.includes("random-fully")) return false;
  throw new HostError(`\`${argv.join(" ")}\` failed: ${stderr.trim()}`, "run it by hand to see more");
}
