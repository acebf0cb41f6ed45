import type { NetConf } from "../cni/config.ts";
import { HostError } from "../host/errors.ts";
import type { Finished, Host } from "../host/machine.ts";
import { FAMILIES, type Family } from "../net/address.ts";
import { formatPrefix, isSamePrefix, type Prefix, parsePrefix } from "../net/prefix.ts";
import type { Plan } from "../plan/step.ts";
import {
  hasChain,
  type MasqueradeWish,
  masqueradeChain,
  masqueradeJump,
  masqueradeSides,
  planMasquerade,
  planUnmasquerade,
} from "../topology/masquerade.ts";
import {
  hasNftMasquerade,
  masqueradeTable,
  planNftMasquerade,
  planNftUnmasquerade,
} from "../topology/masquerade-nft.ts";
import { isUsed } from "./network.ts";
import { findNode, IPV6_FORWARDING } from "./node.ts";

const LOCK_TIMEOUT_MS = 60_000;

/** Whose rules they are. */
type MasqueradeOwner = Pick<NetConf, "stateDir" | "network">;

/** Removes what a process that was killed has left of networks without attachments. */
export async function removeForgottenMasquerade(stateDir: string, host: Host): Promise<void> {
  for (const network of host.listFolder(masqueradeFolder(stateDir))) {
    await removeUnusedMasquerade({ stateDir, network }, host);
  }
}

function masqueradeFolder(stateDir: string): string {
  return `${stateDir}/masquerade`;
}

/** What keeps the rules: iptables, or nft alone where there is no iptables. */
export type MasqueradeBackend = "iptables" | "nftables";

/** The lock of everything that is shared by the attachments of a network: rules and tables. */
export function rulesLock({ stateDir }: Pick<NetConf, "stateDir">): string {
  return `${stateDir}/rules.lock`;
}

/** The configured backend; without one iptables, unless only nft is there. Null without `ipMasq`. */
export function masqueradeBackend({ raw }: NetConf, host: Host): MasqueradeBackend | null {
  if (raw.ipMasq !== true) return null;
  if (raw.ipMasqBackend === "iptables" || raw.ipMasqBackend === "nftables") return raw.ipMasqBackend;
  const hasOnlyNft = host.findProgram("iptables") === null && host.findProgram("nft") !== null;
  return hasOnlyNft ? "nftables" : "iptables";
}

/**
 * The subnets that the network's attachments were given so far, in `<stateDir>/masquerade/<network>`: two pods may
 * have other ranges (runtimeConfig.ipRanges), and the rules are for all.
 */
function subnetsFile({ stateDir, network }: MasqueradeOwner): string {
  return `${masqueradeFolder(stateDir)}/${network}`;
}

function keptSubnets(conf: MasqueradeOwner, host: Host): Prefix[] {
  const lines = (host.readFile(subnetsFile(conf)) ?? "").split("\n");
  return lines.flatMap((line) => parsePrefix(line) ?? []);
}

function union(a: readonly Prefix[], b: readonly Prefix[]): Prefix[] {
  const all: Prefix[] = [];
  for (const prefix of [...a, ...b]) if (!all.some((known) => isSamePrefix(known, prefix))) all.push(prefix);
  return all;
}

function wishOf(conf: NetConf, subnets: readonly Prefix[], host: Host): MasqueradeWish {
  return { network: conf.network, subnets, exempt: findNode(conf.stateDir, host)?.clusterCidrs ?? [] };
}

/** Whether the rules of one family are as wished: the jump, and what it leads to; two spawns side by side. */
async function hasRules(wish: MasqueradeWish, family: Family, host: Host): Promise<boolean> {
  const ask = (...words: string[]) =>
    host.spawn({ argv: [toolOf(family), "-w", "10", "-t", "nat", ...words] });
  const [jump, chain] = await Promise.all([
    ask("-C", ...masqueradeJump(wish, family)),
    ask("-S", masqueradeChain(wish.network)),
  ]);
  return jump.exitCode === 0 && chain.exitCode === 0 && hasChain(wish, family, chain.stdout);
}

function toolOf(family: Family): string {
  return family === 4 ? "iptables" : "ip6tables";
}

async function savedNat(family: Family, host: Host): Promise<string> {
  const argv = [`${toolOf(family)}-save`, "-t", "nat"];
  const child = await host.spawn({ argv });
  if (child.exitCode === 0) return child.stdout;
  throw new HostError(
    `\`${argv.join(" ")}\` failed: ${child.stderr.trim()}`,
    "run it by hand to see more; without a nat table in this kernel use ipMasqBackend nftables",
  );
}

async function planWish(wish: MasqueradeWish, backend: MasqueradeBackend, host: Host): Promise<Plan> {
  if (backend === "nftables") {
    const listed = await listNft(wish.network, host);
    return hasNftMasquerade(wish, listed ?? "") ? [] : planNftMasquerade(wish);
  }
  const plans = FAMILIES.map(async (family): Promise<Plan> => {
    if (masqueradeSides(wish, family).sources.length === 0 || (await hasRules(wish, family, host))) return [];
    return planMasquerade(wish, family, await savedNat(family, host));
  });
  return (await Promise.all(plans)).flat();
}

async function listNft(network: string, host: Host): Promise<string | null> {
  const child = await host.spawn({ argv: ["nft", "list", "table", "inet", masqueradeTable(network)] });
  return foundTable(child);
}

/** What `nft list table` printed; null when there is no such table. Throws HostError when that can't be known. */
export function foundTable({ exitCode, stdout, stderr }: Finished): string | null {
  if (exitCode === 0) return stdout;
  if (/No such file|not supported/i.test(stderr)) return null;
  throw new HostError(`\`nft list table\` failed: ${stderr.trim()}`, "run it by hand to see more");
}

/** What {@link addMasquerade} would run; empty when the rules are there. */
export function planMissingMasquerade(
  conf: NetConf,
  subnets: readonly Prefix[],
  backend: MasqueradeBackend,
  host: Host,
): Promise<Plan> {
  return planWish(wishOf(conf, union(keptSubnets(conf, host), subnets), host), backend, host);
}

/**
 * Masquerade rules of the network, looked for on every ADD: two spawns a family, side by side, when they are there; none in
 * a process that has seen them, where nothing has changed since (nf_tables).
 * Under a lock of its own, because looking and changing are two runs; the ADD's record is already written, so that a
 * DEL that waits for the lock sees it and keeps the rules.
 */
export async function addMasquerade(
  conf: NetConf,
  subnets: readonly Prefix[],
  backend: MasqueradeBackend,
  host: Host,
): Promise<void> {
  await host.withLock(rulesLock(conf), LOCK_TIMEOUT_MS, async () => {
    const kept = keptSubnets(conf, host);
    const all = union(kept, subnets);
    if (all.length > kept.length) {
      host.writeFile(subnetsFile(conf), `${all.map(formatPrefix).join("\n")}\n`);
    }
    const wish = wishOf(conf, all, host);
    // Asked before the rules are looked at: a change meanwhile makes it worthless.
    const seen = describeSeen(wish, backend, host);
    const name = subnetsFile(conf);
    if (seen !== null && checked.get(name) === seen) return;
    const plan = await planWish(wish, backend, host);
    if (plan.length > 0) await host.execute(plan);
    else if (seen !== null) checked.set(name, seen);
  });
}

/** By network: the rules that this process has found to be as wished; one that serves many calls need not look again. */
const checked = new Map<string, string>();

/** What is wished, and the state of the rules; null where that can't be told by a number. */
function describeSeen(wish: MasqueradeWish, backend: MasqueradeBackend, host: Host): string | null {
  const programs = backend === "nftables" ? ["nft"] : FAMILIES.map(toolOf);
  const generations = programs.map((program) => host.rulesGeneration(program));
  if (generations.includes(null)) return null;
  const prefixes = [wish.subnets, wish.exempt].map((list) => list.map(formatPrefix).join(","));
  return [backend, ...generations, ...prefixes].join(" ");
}

/** Rules that an attachment's network should have and has not, for CHECK. */
export async function masqueradeFaults(
  conf: NetConf,
  backend: MasqueradeBackend,
  host: Host,
): Promise<string[]> {
  const wish = wishOf(conf, keptSubnets(conf, host), host);
  if (backend === "nftables") {
    const listed = await listNft(conf.network, host);
    return hasNftMasquerade(wish, listed ?? "")
      ? []
      : [`nft table inet ${masqueradeTable(conf.network)} is not as it was made`];
  }
  const faults = FAMILIES.map(async (family) => {
    if (masqueradeSides(wish, family).sources.length === 0 || (await hasRules(wish, family, host))) return [];
    const jump = masqueradeJump(wish, family).join(" ");
    return [`${toolOf(family)} -t nat lacks \`${jump}\`, or its chain is not as it was made`];
  });
  return (await Promise.all(faults)).flat();
}

function isFamilyThere(family: Family, host: Host): boolean {
  return family === 4 || host.isFile(IPV6_FORWARDING);
}

/**
 * Removes the network's rules when its last attachment is gone; `isThorough`: also those that no file tells of. Where the
 * process lives on it waits for a moment of quiet: of pods that come and go one by one, each would remove what the next
 * makes again.
 */
export async function removeUnusedMasquerade(
  conf: MasqueradeOwner,
  host: Host,
  isThorough = false,
): Promise<void> {
  const isKnown = () => host.readFile(subnetsFile(conf)) !== null;
  if (!(isThorough || isKnown()) || isUsed(conf, host)) return;
  if (host.defer !== undefined) {
    host.defer(subnetsFile(conf), (later) => removeUnusedMasquerade(conf, later, isThorough));
    return;
  }
  await host.withLock(rulesLock(conf), LOCK_TIMEOUT_MS, async () => {
    if (!(isThorough || isKnown()) || isUsed(conf, host)) return;
    // What can't be asked in one place must not keep the rules of another.
    const failures: unknown[] = [];
    const attempt = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    for (const family of FAMILIES) {
      if (host.findProgram(`${toolOf(family)}-save`) === null || !isFamilyThere(family, host)) continue;
      await attempt(async () =>
        host.execute(planUnmasquerade(conf.network, family, await savedNat(family, host))),
      );
    }
    if (host.findProgram("nft") !== null) {
      await attempt(async () => {
        if ((await listNft(conf.network, host)) !== null)
          await host.execute(planNftUnmasquerade(conf.network));
      });
    }
    if (failures.length > 0) throw failures[0];
    host.removeFile(subnetsFile(conf));
  });
}
