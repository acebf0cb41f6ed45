import type { Host } from "../host/machine.ts";
import { readRecord } from "../host/records.ts";
import { addressSource } from "./addresses.ts";
import { attachmentLock, type Call, formatKey } from "./call.ts";
import { detach } from "./detach.ts";

/**
 * DEL. Needs neither netns nor prevResult, and of the ADD's configuration only which network it was and where its
 * state is; `ipMasq`, `macspoofchk` and `ipam.type` help when the record was lost. What is
 * already gone counts as done, so that any number of calls end well.
 */
export async function del(call: Call, host: Host): Promise<void> {
  const { conf, key } = call;
  if (conf.ignored.length > 0) host.log(`DEL goes on without ${conf.ignored.join(", ")}: not readable`);
  const work = () => {
    const record = readRecord(host, conf.stateDir, key);
    return detach(call, record, addressSource(call, host, record), host);
  };
  // On a full or read-only disk no lock may be had; what there is has to go all the same.
  await host.withAttachmentLock(attachmentLock(conf), formatKey(key), work, { isOptional: true });
}
