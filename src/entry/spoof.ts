import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import { recordedAttachments } from "../host/records.ts";
import {
  type CheckedPort,
  checkedPorts,
  hasSpoofRule,
  planDropSpoofTable,
  planNoSpoofCheck,
  planSpoofCheck,
  spoofTable,
} from "../topology/spoofcheck.ts";
import { rulesLock } from "./masquerade.ts";

const LOCK_TIMEOUT_MS = 60_000;

/** Lets the port send from its own MAC only. Before the port is in the bridge. */
export async function addSpoofCheck(conf: NetConf, port: CheckedPort, host: Host): Promise<void> {
  await host.withLock(rulesLock(conf), LOCK_TIMEOUT_MS, () =>
    host.execute(planSpoofCheck(conf.network, port)),
  );
}

async function listTable(conf: NetConf, host: Host): Promise<string | null> {
  if (host.findProgram("nft") === null) return null;
  const child = await host.spawn({ argv: ["nft", "list", "table", "bridge", spoofTable(conf.network)] });
  return child.exitCode === 0 ? child.stdout : null;
}

/** Faults of a port's check, for CHECK. */
export async function spoofFaults(conf: NetConf, port: CheckedPort, host: Host): Promise<string[]> {
  const listed = await listTable(conf, host);
  if (listed !== null && hasSpoofRule(listed, port.hostVeth, port.mac)) return [];
  return [
    `nft table bridge ${spoofTable(conf.network)} lacks the MAC check of ${port.hostVeth} (${port.mac})`,
  ];
}

/** Forgets every port whose link is gone, and the table with the network's last attachment. */
export async function removeUnusedSpoofChecks(conf: NetConf, host: Host): Promise<void> {
  if ((await listTable(conf, host)) === null) return;
  await host.withLock(rulesLock(conf), LOCK_TIMEOUT_MS, async () => {
    const listed = await listTable(conf, host);
    if (listed === null) return;
    if (recordedAttachments(host, conf.stateDir, conf.network).length === 0) {
      await host.execute(planDropSpoofTable(conf.network));
      return;
    }
    for (const port of checkedPorts(listed)) {
      if (host.link(port.hostVeth) === null) await host.execute(planNoSpoofCheck(conf.network, port));
    }
  });
}
