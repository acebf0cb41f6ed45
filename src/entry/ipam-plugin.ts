import { CNI_CODE, CniError } from "../cni/errors.ts";
import { checkArgs } from "../cni/request.ts";
import { formatResult } from "../cni/result.ts";
import type { Host } from "../host/machine.ts";
import { readRecord, writeRecord } from "../host/records.ts";
import { formatAddress, parseAddress } from "../net/address.ts";
import { beginRecord, clearTheWay, takeBack } from "./add.ts";
import { addressSource, type Taken } from "./addresses.ts";
import { attachmentLock, type Call, formatKey } from "./call.ts";
import { readPrevResult } from "./check.ts";
import { flushTaken } from "./released.ts";

/** ADD for another plugin: addresses only, as the abbreviated result of SPEC §5. Returns its JSON. */
export async function ipamAdd(call: Call, host: Host): Promise<string> {
  const { conf, environment, key } = call;
  checkArgs(environment);
  const source = addressSource(call, host);
  const take = source.prepare();
  return host.withAttachmentLock(attachmentLock(conf), formatKey(key), async () => {
    await clearTheWay(call, host);
    const begun = { ...beginRecord(call, source, host), kind: "ipam", bridge: "", hostVeth: "" } as const;
    const record = { ...begun, masquerade: null, spoofCheck: false };
    writeRecord(host, conf.stateDir, key, record);
    let taken: Taken | null = null;
    try {
      taken = await take();
      const addresses = taken.addresses.map(({ prefix }) => formatAddress(prefix.address));
      await flushTaken(
        conf,
        taken.addresses.map(({ prefix }) => prefix.address),
        host,
      );
      const ips = taken.addresses.map(({ prefix, gateway }) => ({
        address: prefix,
        gateway,
        interface: null,
      }));
      const { routes, dns } = taken;
      const result = formatResult(conf.cniVersion, { interfaces: [], ips, routes, dns });
      writeRecord(host, conf.stateDir, key, { ...record, addresses, phase: "complete" });
      return result;
    } catch (error) {
      await takeBack(call, taken, record, source, host);
      throw error;
    }
  });
}

/** CHECK for another plugin: the container still holds its addresses. */
export async function ipamCheck(call: Call, host: Host): Promise<void> {
  const { conf, key } = call;
  const record = readRecord(host, conf.stateDir, key);
  const source = addressSource(call, host, record);
  if (record?.phase === "complete") {
    return source.check(record.addresses.flatMap((text) => parseAddress(text) ?? []));
  }
  readPrevResult(call);
  if (source.held(key, null).length > 0) return;
  throw new CniError(
    CNI_CODE.internal,
    `host-local: Failed to find address added by container ${key.containerId}`,
    `no reservation for ${key.containerId} ${key.ifname} in ${conf.dataDir}/${conf.network}`,
  );
}
