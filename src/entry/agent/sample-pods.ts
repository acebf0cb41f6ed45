import type { Host } from "../../host/machine.ts";
import { readRecord, recordedAttachments } from "../../host/records.ts";
import { OWN_NETWORK } from "../../topology/conflist.ts";

/** Enough for a probe of both families although one pod does not answer. */
const MOST = 8;
/** Records that are read for it, of the many that a node may have. */
const MOST_RECORDS = 32;

/** Addresses of some pods of this node, for those of other nodes who ask whether pods can be reached. Never throws. */
export function samplePods(host: Host, stateDir: string): string[] {
  try {
    const keys = recordedAttachments(host, stateDir, OWN_NETWORK).slice(0, MOST_RECORDS);
    const found = keys.flatMap((key) => {
      const record = readRecord(host, stateDir, key);
      return record?.phase === "complete" && record.bootId === host.bootId() ? record.addresses : [];
    });
    return found.slice(0, MOST);
  } catch {
    return [];
  }
}
