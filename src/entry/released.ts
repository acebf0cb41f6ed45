import type { NetConf } from "../cni/config.ts";
import { BusyError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { type Address, formatAddress, parseAddress } from "../net/address.ts";

/**
 * Addresses whose tracked connections are still to be flushed, a file each: a walk over the kernel's table serves all
 * of them, so that of many DELs at once one does the work, and a killed one leaves it to the next.
 */
function folderOf({ stateDir }: NetConf): string {
  return `${stateDir}/released`;
}

/** With more entries than this a walk costs more than a DEL should (1.4 µs each): the next owner of an address waits. */
const MAX_ENTRIES = 20_000;
/** A walk may find new names behind it; whoever comes then does not wait for a third. */
const MAX_WALKS = 2;
const LOCK_TIMEOUT_MS = 30_000;

/** Flushes the connections of addresses that are about to be free, now or when they are given again. */
export async function flushReleased(conf: NetConf, addresses: readonly Address[], host: Host): Promise<void> {
  const entries = host.trackedConnections();
  if (addresses.length === 0 || entries === 0) return;
  for (const address of addresses) host.writeFile(`${folderOf(conf)}/${formatAddress(address)}`, "");
  if (entries > MAX_ENTRIES) return;
  // The kernel looks at every bucket of its table (10 ms): once for all that go, where somebody is there later.
  if (host.defer !== undefined) host.defer(folderOf(conf), (later) => walkUnlessBusy(conf, later));
  else await walkUnlessBusy(conf, host);
}

async function walkUnlessBusy(conf: NetConf, host: Host): Promise<void> {
  try {
    await walk(conf, 0, host);
  } catch (error) {
    // Somebody else walks, and sees ours; should he not, the next owner does.
    if (!(error instanceof BusyError)) throw error;
  }
}

/** Makes sure that nothing of their former owners is left with addresses that were just taken. */
export async function flushTaken(conf: NetConf, addresses: readonly Address[], host: Host): Promise<void> {
  const isMarked = (address: Address) => host.isFile(`${folderOf(conf)}/${formatAddress(address)}`);
  if (addresses.some(isMarked)) await walk(conf, LOCK_TIMEOUT_MS, host);
}

async function walk(conf: NetConf, timeoutMs: number, host: Host): Promise<void> {
  const folder = folderOf(conf);
  await host.withLock(`${folder}.lock`, timeoutMs, () => {
    for (let walks = 0; walks < MAX_WALKS; walks++) {
      const names = host.listFolder(folder);
      if (names.length === 0) return;
      host.flushConnections(names.flatMap((name) => parseAddress(name) ?? []));
      for (const name of names) host.removeFile(`${folder}/${name}`);
    }
  });
}
