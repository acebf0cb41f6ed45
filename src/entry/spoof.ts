import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { hostVethName } from "../net/ifname.ts";
import {
  type CheckedPort,
  checkedPorts,
  hasSpoofRule,
  planDropSpoofTable,
  planNoSpoofCheck,
  planSpoofCheck,
  spoofTable,
} from "../topology/spoofcheck.ts";
import { foundTable, rulesLock } from "./masquerade.ts";
import { attachmentsOf } from "./network.ts";

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
  return foundTable(child);
}

/** Faults of a port's check, for CHECK. */
export async function spoofFaults(conf: NetConf, port: CheckedPort, host: Host): Promise<string[]> {
  const listed = await listTable(conf, host);
  if (listed !== null && hasSpoofRule(listed, port.hostVeth, port.mac)) return [];
  return [
    `nft table bridge ${spoofTable(conf.network)} lacks the MAC check of ${port.hostVeth} (${port.mac})`,
  ];
}

/**
 * Forgets every port that no attachment has, and the table with the network's last one; `gone`: an attachment that
 * counts no more, though its record is there.
 */
export async function removeUnusedSpoofChecks(
  conf: NetConf,
  host: Host,
  gone: AttachmentKey | null = null,
): Promise<void> {
  if ((await listTable(conf, host)) === null) return;
  await host.withLock(rulesLock(conf), LOCK_TIMEOUT_MS, async () => {
    const listed = await listTable(conf, host);
    if (listed === null) return;
    const attachments = attachmentsOf(conf, host, gone);
    if (attachments.length === 0) {
      await host.execute(planDropSpoofTable(conf.network));
      return;
    }
    // By record, not by link: an ADD has its record before its port is checked, and that before there is a link.
    const wanted = new Set(
      attachments.map(({ network, containerId, ifname }) => hostVethName(network, containerId, ifname)),
    );
    for (const port of checkedPorts(listed)) {
      if (!wanted.has(port.hostVeth)) await host.execute(planNoSpoofCheck(conf.network, port));
    }
  });
}
