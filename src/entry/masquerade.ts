import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import { hasRecords } from "../host/records.ts";
import type { RangeSet } from "../ipam/range.ts";
import type { Family } from "../net/address.ts";
import type { Plan } from "../plan/step.ts";
import { masqueradeJump, planMasquerade, planUnmasquerade, subnetsOf } from "../topology/masquerade.ts";

const LOCK_TIMEOUT_MS = 60_000;
const FAMILIES: readonly Family[] = [4, 6];

function hasJump(conf: NetConf, family: Family, host: Host): boolean {
  const tool = family === 4 ? "iptables" : "ip6tables";
  return (
    host.spawn({ argv: [tool, "-w", "10", "-t", "nat", "-C", ...masqueradeJump(conf.network)] }).exitCode ===
    0
  );
}

/** What a family's masquerade rules lack: all of them without the jump, else nothing. */
function planMissingRules(conf: NetConf, sets: readonly RangeSet[], family: Family, host: Host): Plan {
  if (subnetsOf(sets, family).length === 0 || hasJump(conf, family, host)) return [];
  return planMasquerade(conf.network, sets, family, true);
}

/** What {@link addMasquerade} would run. */
export function planMissingMasquerade(conf: NetConf, sets: readonly RangeSet[], host: Host): Plan {
  return FAMILIES.flatMap((family) => planMissingRules(conf, sets, family, host));
}

/**
 * Masquerade rules of the network, looked for on every ADD: one spawn a family when they are there, two when not.
 * Under a lock of its own, because the check and the insertion are two runs; the ADD's record is already written, so
 * that a DEL that waits for the lock sees it and keeps the rules.
 */
export function addMasquerade(conf: NetConf, sets: readonly RangeSet[], host: Host): void {
  for (const family of FAMILIES) {
    if (subnetsOf(sets, family).length === 0) continue;
    host.withLock(`${conf.stateDir}/rules.lock`, LOCK_TIMEOUT_MS, () => {
      host.execute(planMissingRules(conf, sets, family, host));
    });
  }
}

/** Removes the network's rules when its last attachment is gone. */
export function removeUnusedMasquerade(conf: NetConf, host: Host): void {
  if (hasRecords(host, conf.stateDir, conf.network)) return;
  host.withLock(`${conf.stateDir}/rules.lock`, LOCK_TIMEOUT_MS, () => {
    if (hasRecords(host, conf.stateDir, conf.network)) return;
    for (const family of FAMILIES) {
      if (hasJump(conf, family, host)) host.execute(planUnmasquerade(conf.network, family));
    }
  });
}
