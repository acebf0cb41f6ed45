import { checkForAdd, type NetConf } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { Environment } from "../cni/request.ts";
import { formatResult, type Result } from "../cni/result.ts";
import { ExecuteError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { knownAddresses, readRecord, removeRecord, writeRecord } from "../host/records.ts";
import { createReservationStore, type ReservationStore } from "../host/reservations.ts";
import { type Allocation, allocate } from "../ipam/allocate.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { formatAddress } from "../net/address.ts";
import { type Attachment, describeAttachment, planAttach } from "../topology/attachment.ts";
import { createWasmPool } from "../wasm/pool.ts";
import { bridgeWish, ensureBridge } from "./bridge.ts";
import { chooseMtu, type IpamChoice, readDns, readIpam, readOptions } from "./desired.ts";
import { addMasquerade } from "./masquerade.ts";

/** Longest wait for the kernel to open a new bridge port, in milliseconds; it takes a few. */
const PORT_TIMEOUT_MS = 2_000;
const FORWARDING = 3;

/**
 * ADD: addresses first, then the bridge, then the veth pair and the pod's side, then the result. Whatever fails, what
 * this call made is taken back: no veth, no reservation, no record stays. Returns the result's JSON.
 */
export function add(environment: Environment, conf: NetConf, host: Host): string {
  checkForAdd(conf);
  const key: AttachmentKey = {
    network: conf.network,
    containerId: environment.containerId,
    ifname: environment.ifname,
  };
  const ipam = readIpam(conf, environment, host);
  const options = readOptions(conf, environment, chooseMtu(conf, host));
  const dns = readDns(conf, host);
  const store = createReservationStore(host, ipam.dataDir, conf.network);
  const addresses = reserve(store, key, ipam, conf, host);
  try {
    const attachment = describeAttachment(key, environment.netns, addresses, options);
    writeRecord(host, conf.stateDir, key, recordOf(attachment, ipam.dataDir, conf.raw.ipMasq === true));
    const bridge = ensureBridge(bridgeWish(conf, attachment), host);
    if (conf.raw.ipMasq === true) addMasquerade(conf, ipam.sets, host);
    attach(attachment, host);
    return formatResult(conf.cniVersion, toResult(attachment, bridge, dns));
  } catch (error) {
    undo(
      () =>
        store.release(
          key,
          addresses.map(({ prefix }) => prefix.address),
        ),
      host,
    );
    undo(() => removeRecord(host, conf.stateDir, key), host);
    throw error;
  }
}

function undo(work: () => unknown, host: Host): void {
  try {
    work();
  } catch (error) {
    host.log(`taking back a failed ADD: ${String(error)}`);
  }
}

function reserve(
  store: ReservationStore,
  key: AttachmentKey,
  ipam: IpamChoice,
  conf: NetConf,
  host: Host,
): Allocation[] {
  if (ipam.sets.length === 0) return [];
  return store.transact(key, ipam.sets, (ledger) => {
    const record = readRecord(host, conf.stateDir, key);
    const [held] = store.find(key, knownAddresses(record));
    if (record !== null && held !== undefined) {
      const message = `${formatAddress(held)} has been allocated to ${key.containerId}, duplicate allocation is not allowed`;
      throw new CniError(
        CNI_CODE.invalidConfig,
        message,
        `run DEL for ${key.containerId} ${key.ifname} first`,
      );
    }
    return allocate(ipam.sets, ipam.requested, ledger, createWasmPool);
  });
}

function attach(attachment: Attachment, host: Host): void {
  try {
    host.execute(planAttach(attachment));
  } catch (error) {
    throw explain(error, attachment);
  }
  // A port whose far end stays down has no carrier, so it never opens.
  if (!attachment.podDown) awaitPort(attachment, host);
}

/** The kernel's "File exists" for the veth pair has two causes; say which. */
function explain(error: unknown, { key, netns, hostVeth }: Attachment): unknown {
  if (!(error instanceof ExecuteError) || error.step.op !== "link.add" || !/File exists/.test(error.stderr))
    return error;
  return new CniError(
    CNI_CODE.invalidEnvironment,
    `CNI_IFNAME=${key.ifname} already exists in CNI_NETNS=${netns} (or ${hostVeth} on the host)`,
    `${error.message}; wanted: no such interface yet. Run DEL first, or use another name`,
  );
}

/** A port carries traffic only once the kernel has seen its carrier: the pod may send as soon as we return. */
function awaitPort({ hostVeth }: Attachment, host: Host): void {
  const deadline = performance.now() + PORT_TIMEOUT_MS;
  for (let pauseMs = 0.2; ; pauseMs = Math.min(pauseMs * 2, 20)) {
    const link = host.link(hostVeth);
    if (link?.portState === FORWARDING) return;
    if (performance.now() > deadline) {
      host.execute([{ op: "link.del", netns: "", name: hostVeth, why: "the port never opened" }]);
      const details = `state ${link?.portState ?? "none"} after ${PORT_TIMEOUT_MS} ms, wanted ${FORWARDING} (forwarding)`;
      throw new CniError(CNI_CODE.internal, `bridge port ${hostVeth} in error state`, details);
    }
    host.sleep(pauseMs);
  }
}

function recordOf(attachment: Attachment, dataDir: string, masquerade: boolean) {
  const { key, netns, bridge, hostVeth, hostMac, podMac, mtu, addresses } = attachment;
  return {
    version: 1,
    containerId: key.containerId,
    ifname: key.ifname,
    netns,
    bridge,
    hostVeth,
    hostMac,
    podMac,
    mtu,
    dataDir,
    addresses: addresses.map(({ prefix }) => formatAddress(prefix.address)),
    masquerade,
  } as const;
}

function toResult(
  attachment: Attachment,
  bridge: { readonly mac: string; readonly mtu: number },
  dns: Result["dns"],
): Result {
  const { hostVeth, hostMac, podMac, mtu, key, netns, addresses, routes } = attachment;
  return {
    interfaces: [
      { name: attachment.bridge, mac: bridge.mac, mtu: bridge.mtu, sandbox: "" },
      { name: hostVeth, mac: hostMac, mtu, sandbox: "" },
      { name: key.ifname, mac: podMac, mtu, sandbox: netns },
    ],
    ips: addresses.map(({ prefix, gateway }) => ({ address: prefix, gateway, interface: 2 })),
    routes,
    dns,
  };
}
