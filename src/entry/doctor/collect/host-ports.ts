import type { HostPorts } from "../../../doctor/sections/host-ports.ts";
import { messageOf } from "../../../host/errors.ts";
import {
  type HostPortLedger,
  type KeptClaim,
  portRulesLock,
  readLedger,
  staleTargets,
} from "../../../host/host-port-claims.ts";
import { isFamilyThere, isTableThere } from "../../../host/iptables.ts";
import type { Host } from "../../../host/machine.ts";
import { readRecord } from "../../../host/records.ts";
import { FAMILIES, formatAddress } from "../../../net/address.ts";
import { hostVethName } from "../../../net/ifname.ts";
import { iptablesProgram } from "../../../plan/format.ts";
import type { Plan } from "../../../plan/step.ts";
import {
  PORTMAP_CHAIN,
  PORTMAP_TABLE,
  portmapNftRules,
  portmapRules,
} from "../../../topology/portmap-rules.ts";
import {
  currentLedger,
  isOf,
  joinPlaces,
  placesOf,
  recordedClaims,
  shutLocalnets,
} from "../../host-ports/ledger.ts";
import { planSettle } from "../../host-ports/settle.ts";
import type { DoctorContext } from "./context.ts";
import { iptablesVariants } from "./rules.ts";

const TIMEOUT_MS = 15_000;
/** Seconds for the xtables lock. */
const LOCK_WAIT_S = "10";
/** A call claims its ports before it makes the rules: what differs has to differ still after as long, in milliseconds. */
const SETTLE_MS = 700;
/** For the lock of the rules. */
const LOCK_TIMEOUT_MS = 10_000;

/** Host ports by records, claims and rules, and the portmap plugin's rules. */
export async function collectHostPorts(context: DoctorContext): Promise<HostPorts> {
  const { host, settings, agent } = context;
  const { stateDir } = settings;
  const unseen: string[] = [];
  const first = await observe(stateDir, unseen, host);
  const isFine = first.changes.length === 0 && first.claims.every(({ state }) => state === "live");
  if (!isFine) await host.sleep(SETTLE_MS);
  const seen = isFine ? first : await observe(stateDir, [], host);
  return {
    hasAgent: agent !== null && agent.stoppedAt === null && agent.bootId === host.bootId(),
    ...seen,
    others: await observePortmap(unseen, host),
    unseen,
  };
}

type Seen = Pick<HostPorts, "claims" | "changes" | "shutLocalnets" | "staleTargets">;

async function observe(stateDir: string, unseen: string[], host: Host): Promise<Seen> {
  const ledger = readLedger(host, stateDir) ?? currentLedger(stateDir, host);
  const recorded = recordedClaims(stateDir, host);
  const unlisted = recorded.filter((claim) => !ledger.claims.some((it) => isOf(it, claim)));
  const claims: HostPorts["claims"] = [
    ...ledger.claims.map((claim) =>
      describeClaim(claim, isPodThere(claim, stateDir, host) ? "live" : "gone"),
    ),
    ...unlisted
      .filter((claim) => isPodThere(claim, stateDir, host))
      .map((claim) => describeClaim(claim, "unlisted")),
  ];
  return {
    claims,
    changes: await observeChanges(ledger, stateDir, unseen, host),
    shutLocalnets: shutLocalnets(ledger.claims, host),
    staleTargets: staleTargets(host, stateDir),
  };
}

/** Its veth is there, or will be: a record that is not complete is of an ADD that runs, or that the leak check sees. */
function isPodThere(claim: KeptClaim, stateDir: string, host: Host): boolean {
  const record = readRecord(host, stateDir, claim);
  if (record === null || record.bootId !== host.bootId()) return false;
  if (record.phase !== "complete" || record.kind === "ipam") return true;
  return host.link(hostVethName(claim.network, claim.containerId, claim.ifname)) !== null;
}

function describeClaim(
  claim: KeptClaim,
  state: HostPorts["claims"][number]["state"],
): HostPorts["claims"][number] {
  const { network, containerId, ifname, backend, ports, targets } = claim;
  return {
    network,
    containerId,
    ifname,
    backend,
    ports: ports.map(({ hostIp, ...port }) => ({ ...port, hostIp: hostIp && formatAddress(hostIp) })),
    targets: targets.map(({ address }) => formatAddress(address)),
    state,
  };
}

/** What is not as the claims say, by what is really there; not while a call is about to change it. */
async function observeChanges(
  ledger: HostPortLedger,
  stateDir: string,
  unseen: string[],
  host: Host,
): Promise<HostPorts["changes"]> {
  const lock = portRulesLock(stateDir);
  const places = joinPlaces(ledger.places, placesOf(ledger.claims));
  const look = () => planSettle({ ...ledger, places }, host);
  try {
    // A look must not make the lock's file.
    const { plan } = host.isFile(lock) ? await host.withLock(lock, LOCK_TIMEOUT_MS, look) : await look();
    return linesOf(plan);
  } catch (error) {
    unseen.push(`rules of host ports: ${messageOf(error)}`);
    return [];
  }
}

function linesOf(plan: Plan): HostPorts["changes"] {
  return plan.flatMap((step): HostPorts["changes"] => {
    if (step.op === "rules.nft") return step.lines.map((line) => ({ program: "nft", table: "", line }));
    if (step.op !== "rules.restore") return [];
    const program = iptablesProgram(step.family, step.variant);
    let table: "nat" | "raw" = "nat";
    return step.lines.flatMap((line) => {
      if (line.startsWith("*")) table = line === "*raw" ? "raw" : "nat";
      return line.startsWith("*") || line === "COMMIT" ? [] : [{ program, table, line }];
    });
  });
}

/** The portmap plugin's rules of every iptables and of nftables. */
async function observePortmap(unseen: string[], host: Host): Promise<HostPorts["others"]> {
  const found: HostPorts["others"] = [];
  for (const { variant, kind } of await iptablesVariants(host)) {
    for (const family of FAMILIES) {
      if (!isFamilyThere(host, family) || !isTableThere(host, family, kind, "nat")) continue;
      const program = iptablesProgram(family, variant);
      const argv = [program, "-w", LOCK_WAIT_S, "-t", "nat", "-S"];
      const { exitCode, stdout, stderr } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
      // One that has rules which iptables has no words for; portmap would not use it either.
      if (exitCode !== 0 && !/is incompatible/.test(stderr)) {
        unseen.push(`${argv.join(" ")}: ${stderr.trim() || `exit ${exitCode}`}`);
      }
      if (stdout.includes(PORTMAP_CHAIN)) {
        found.push(...portmapRules(stdout).map((rule) => ({ program, family, ...rule })));
      }
    }
  }
  if (host.findProgram("nft") === null) return found;
  for (const family of FAMILIES) {
    const argv = ["nft", "list", "table", family === 4 ? "ip" : "ip6", PORTMAP_TABLE];
    const { exitCode, stdout } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
    if (exitCode !== 0) continue;
    found.push(...portmapNftRules(stdout, family).map((rule) => ({ program: "nft", family, ...rule })));
  }
  return found;
}
