import { asksForBandwidth } from "../cni/bandwidth.ts";
import { checkForAdd, hasNoAddresses } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import { parseResult } from "../cni/prev.ts";
import { checkArgs } from "../cni/request.ts";
import { formatResult, mergeResults, type Result } from "../cni/result.ts";
import type { Dns } from "../cni/schema.ts";
import { UNDO_TIME_MS } from "../host/deadline.ts";
import { type KeptClaim, recordedPorts } from "../host/host-port-claims.ts";
import type { Host } from "../host/machine.ts";
import { type AttachmentRecord, knownAddresses, readRecord, writeRecord } from "../host/records.ts";
import type { Allocation } from "../ipam/allocate.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { hostVethName, ifbName } from "../net/ifname.ts";
import { macOfName } from "../net/mac.ts";
import { formatPrefix } from "../net/prefix.ts";
import { type Attachment, type AttachmentOptions, describeAttachment } from "../topology/attachment.ts";
import { ifbOf, UNLIMITED } from "../topology/bandwidth.ts";
import { type AddressSource, addressSource, type Taken } from "./addresses.ts";
import { attach } from "./attach.ts";
import { attempt } from "./attempt.ts";
import { attachmentLock, type Call, formatKey } from "./call.ts";
import { chooseDns, isGateway, readOptions, withGateways } from "./desired.ts";
import { attachmentLinks, detach, removeLinks } from "./detach.ts";
import { refuseDoubled } from "./doubled.ts";
import { describeClaim, finishPorts, loadHostPorts, readHostPorts } from "./host-ports/when-asked.ts";
import { masqueradeBackend } from "./masquerade.ts";
import { awaitNode } from "./node.ts";
import { flushTaken } from "./released.ts";

/**
 * ADD: all that can be refused is refused first. Then addresses, the bridge, the veth pair and the pod's side, and the
 * result. Whatever fails, what this call made is taken back: no veth, no reservation, no rule, no record stays.
 * Returns the result's JSON.
 */
export async function add(call: Call, host: Host): Promise<string> {
  const { conf, environment, key } = call;
  checkArgs(environment);
  checkForAdd(conf);
  const before = parseResult(conf.raw.prevResult, conf.cniVersion, "prevResult");
  await awaitNode(conf, host);
  const options = readOptions(conf, environment, host);
  refuseDoubled(call, host);
  const asked = await readHostPorts(conf, host);
  const source = addressSource(call, host);
  const take = hasNoAddresses(conf.raw) ? takeNothing : source.prepare();
  return host.withAttachmentLock(attachmentLock(conf), formatKey(key), async () => {
    await clearTheWay(call, host);
    const hostPorts = asked && recordedPorts({ ...asked, targets: [] });
    const begun = { ...beginRecord(call, source, host, options), hostPorts };
    writeRecord(host, conf.stateDir, key, begun);
    let taken: Taken | null = null;
    try {
      taken = await take();
      const addresses = withGateways(taken.addresses, isGateway(conf));
      const attachment = describeAttachment(key, environment.netns, addresses, {
        ...options,
        routes: taken.routes,
      });
      const claim = await describeClaim(asked, key, conf.bridge, addresses);
      const reserved = describeRecord(begun, attachment, claim);
      writeRecord(host, conf.stateDir, key, reserved);
      if (claim !== null) await (await loadHostPorts()).claimPorts(claim, conf.stateDir, host);
      await finishPorts(addressesOf(addresses), conf.stateDir, host);
      await flushTaken(conf, addressesOf(addresses), host);
      const bridge = await attach(call, attachment, taken.subnets, claim, host);
      const own = toResult(attachment, bridge, chooseDns(conf, taken.dns), host);
      const result = formatResult(conf.cniVersion, mergeResults(before, own));
      writeRecord(host, conf.stateDir, key, { ...reserved, phase: "complete" });
      return result;
    } catch (error) {
      await takeBack(call, taken, begun, source, host);
      throw error;
    }
  });
}

function addressesOf(allocations: readonly Allocation[]): Address[] {
  return allocations.map(({ prefix }) => prefix.address);
}

async function takeNothing(): Promise<Taken> {
  return { addresses: [], subnets: [], routes: [], dns: {} };
}

/**
 * What must not be there yet. An attachment that is complete makes this ADD a mistake of the runtime; one that an
 * earlier, killed ADD left is cleared away (no call of this attachment but ours can be under way).
 */
export async function clearTheWay(call: Call, host: Host): Promise<void> {
  const { conf, key } = call;
  const record = readRecord(host, conf.stateDir, key);
  const hostVeth = hostVethName(key.network, key.containerId, key.ifname);
  if (record?.phase === "complete" && isHeld(record, key, host, addressSource(call, host, record))) {
    const [first] = record.addresses;
    const what = first === undefined ? `interface ${key.ifname}` : `failed to allocate for range 0: ${first}`;
    throw new CniError(
      CNI_CODE.invalidConfig,
      `${what} has been allocated to ${key.containerId}, duplicate allocation is not allowed`,
      `run DEL for ${key.containerId} ${key.ifname} first`,
    );
  }
  if (record !== null) {
    host.log(`what an earlier ADD of ${key.containerId} ${key.ifname} left is cleared away`);
    await detach(call, record, addressSource(call, host, record), host);
  } else if (host.link(hostVeth) !== null) {
    throw new CniError(
      CNI_CODE.invalidEnvironment,
      `${hostVeth} on the host already exists: ${key.containerId} has CNI_IFNAME=${key.ifname} already`,
      "wanted: no such attachment yet. Run DEL first",
    );
  } else if (asksForBandwidth(conf.raw)) {
    // Of a pod whose namespace went, and its record with it.
    await removeLinks(attachmentLinks(key, null, host), host);
  }
}

/** A record of another boot, or one whose veth is gone and whose addresses nobody holds, tells of nothing any more. */
function isHeld(record: AttachmentRecord, key: AttachmentKey, host: Host, source: AddressSource): boolean {
  if (record.bootId !== host.bootId()) return false;
  const hasLink = record.kind === "bridge" && host.link(record.hostVeth) !== null;
  return hasLink || source.held(key, knownAddresses(record)).length > 0;
}

/** The record of an attachment before anything is known of it but what was asked for. */
export function beginRecord(
  { key, conf, environment }: Call,
  source: AddressSource,
  host: Host,
  { limits = UNLIMITED, tuning }: Pick<AttachmentOptions, "limits" | "tuning"> = {},
) {
  return {
    version: 2,
    containerId: key.containerId,
    ifname: key.ifname,
    netns: environment.netns,
    bootId: host.bootId(),
    phase: "begun",
    kind: "bridge",
    bridge: conf.bridge,
    hostVeth: hostVethName(key.network, key.containerId, key.ifname),
    hostMac: "",
    podMac: "",
    mtu: 0,
    hairpin: false,
    isolated: false,
    vlan: null,
    ipam: source.name,
    dataDir: conf.dataDir,
    addresses: [],
    routes: [],
    masquerade: masqueradeBackend(conf, host),
    spoofCheck: conf.raw.macspoofchk === true,
    hostPorts: null,
    ...limits,
    ifb: limits.egress === null ? null : ifbName(key.network, key.containerId, key.ifname),
    tuning:
      tuning == null ? null : { ...tuning, sysctls: tuning.sysctls.map(([name, value]) => [name, value]) },
  } satisfies AttachmentRecord;
}

function describeRecord(
  begun: AttachmentRecord,
  attachment: Attachment,
  claim: KeptClaim | null,
): AttachmentRecord {
  const { bridge, hostVeth, hostMac, podMac, mtu, hairpin, isolated, vlan } = attachment;
  const links = { bridge, hostVeth, hostMac, podMac, mtu, hairpin, isolated, vlan };
  return {
    ...begun,
    ...links,
    phase: "reserved",
    hostPorts: claim && recordedPorts(claim),
    addresses: attachment.addresses.map(({ prefix }) => formatAddress(prefix.address)),
    routes: attachment.routes.map(({ dst }) => formatPrefix(dst)),
  };
}

/** What failed is the error worth telling: what can't be taken back is only told in the log. */
export async function takeBack(
  call: Call,
  taken: Taken | null,
  begun: AttachmentRecord,
  source: AddressSource,
  host: Host,
): Promise<void> {
  host.deadline.renew(UNDO_TIME_MS);
  const addresses = (taken?.addresses ?? []).map(({ prefix }) => formatAddress(prefix.address));
  // A failed take has given back what it took by itself.
  const held = taken === null ? { ...source, release: async () => undefined } : source;
  // The record stays should it fail, and leads the next ADD, DEL or GC to what is left.
  await attempt("taking back a failed ADD", host, () =>
    detach(call, { ...begun, phase: "reserved", addresses }, held, host),
  );
}

function toResult(
  attachment: Attachment,
  bridge: { readonly mac: string; readonly mtu: number },
  dns: Dns,
  host: Host,
): Result {
  const { hostVeth, hostMac, podMac, mtu, key, netns, addresses, routes } = attachment;
  // A VLAN's gateway is a link of its own, behind the three that every attachment has.
  const device = attachment.vlan === null ? null : attachment.gatewayDevice;
  const gateway = device === null ? null : host.link(device);
  const ifb = ifbOf(attachment);
  return {
    interfaces: [
      { name: attachment.bridge, mac: bridge.mac, mtu: bridge.mtu, sandbox: "" },
      { name: hostVeth, mac: hostMac, mtu, sandbox: "" },
      { name: key.ifname, mac: podMac, mtu, sandbox: netns },
      ...(gateway === null ? [] : [{ name: gateway.name, mac: gateway.mac, mtu: gateway.mtu, sandbox: "" }]),
      ...(ifb === null ? [] : [{ name: ifb, mac: macOfName(ifb), mtu, sandbox: "" }]),
    ],
    ips: addresses.map(({ prefix, gateway }) => ({ address: prefix, gateway, interface: 2 })),
    routes,
    dns,
  };
}
