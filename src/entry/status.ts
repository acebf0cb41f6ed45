import { asksForBandwidth } from "../cni/bandwidth.ts";
import { checkForAdd, hasNoAddresses, type NetConf } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import { messageOf } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { readRecord, recordedAttachments } from "../host/records.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import type { ObservedLink } from "../plan/state.ts";
import { checkKind } from "../topology/bridge.ts";
import { gatewayDevice } from "../topology/vlan-gateway.ts";
import { addressSource } from "./addresses.ts";
import { MAX_PORTS } from "./attach.ts";
import type { Call } from "./call.ts";
import { isGateway, readOptions } from "./desired.ts";
import { masqueradeBackend } from "./masquerade.ts";
import { askNode, needsAgent } from "./node.ts";

const FORWARDING = [
  [4, "net/ipv4/ip_forward"],
  [6, "net/ipv6/conf/all/forwarding"],
] as const;

/** A bridge with fewer free ports than this is nearly full: new pods belong on another node. */
const SPARE_PORTS = 16;

/**
 * STATUS: passes when an ADD could be served now, else throws code 50 with what is missing; 51 when besides the pods
 * that are there can't be reached as they should. What is wrong in the configuration keeps the code it would have in
 * ADD, which never looks at STATUS (SPEC §2 "STATUS").
 */
export async function status(call: Call, host: Host, isIpam = false): Promise<void> {
  const { conf } = call;
  try {
    await checkServing(call, host, isIpam);
  } catch (error) {
    throw isIpam ? error : limitedInstead(error, conf, host);
  }
  const fault = isIpam ? null : podFault(conf, host);
  // The next ADD makes it good, and must not be kept from coming.
  if (fault !== null) host.log(`${fault.message}: ${fault.hint}`);
}

/** Throws when an ADD could not be served now. */
async function checkServing(call: Call, host: Host, isIpam: boolean): Promise<void> {
  const { conf, environment } = call;
  checkReady(conf, host);
  if (!isIpam) {
    checkForAdd(conf);
    readOptions(conf, environment, host);
    checkKind(conf.bridge, "bridge", host.link(conf.bridge));
  }
  const source = addressSource(call, host);
  for (const folder of [conf.stateDir, ...(source.name === null ? [conf.dataDir] : [])]) {
    checkWritable(folder, host);
  }
  if (!isIpam) {
    checkPrograms(conf, host);
    checkPorts(conf, host);
  }
  if (hasNoAddresses(conf.raw)) return;
  if (source.name === null) source.prepare();
  await source.status();
}

/** A failure that comes together with pods that are cut off says so (SPEC §5, code 51). */
function limitedInstead(error: unknown, conf: NetConf, host: Host): unknown {
  const fault = podFault(conf, host);
  if (fault === null || !(error instanceof CniError) || error.code !== CNI_CODE.notAvailable) return error;
  return new CniError(
    CNI_CODE.limited,
    `${error.message}; ${fault.message}`,
    `${error.details}; ${fault.hint}`,
  );
}

function refuse(message: string, details: string): never {
  throw new CniError(CNI_CODE.notAvailable, message, details);
}

/** What makes the pods that are there suffer; null when nothing does, or there are none. */
function podFault(conf: NetConf, host: Host): { readonly message: string; readonly hint: string } | null {
  const fault = reachFault(conf, host.link(conf.bridge), host);
  if (fault === null) return null;
  // What a killed ADD left is no pod that could be cut off.
  const isPod = (key: AttachmentKey) => {
    const record = readRecord(host, conf.stateDir, key);
    return record?.phase === "complete" && record.bootId === host.bootId();
  };
  const pods = recordedAttachments(host, conf.stateDir, conf.network).filter(isPod).length;
  if (pods === 0) return null;
  return { message: fault.message, hint: `${fault.hint} (${pods} attachments of ${conf.network})` };
}

/** Why pods on this bridge can't be reached as they should, with what to do; null when they can. */
function reachFault(conf: NetConf, bridge: ObservedLink | null, host: Host) {
  const fault = (message: string, hint: string) => ({ message, hint });
  if (bridge === null) return fault(`bridge ${conf.bridge} is missing`, "the next ADD makes it again");
  if (!bridge.up) return fault(`bridge ${conf.bridge} is down`, `ip link set ${conf.bridge} up`);
  if (!isGateway(conf)) return null;
  const gateway = host.link(gatewayDevice(conf.bridge, conf.raw.vlan || null));
  const addresses = gateway === null ? [] : host.addresses(gateway.index);
  for (const [family, key] of FORWARDING) {
    const isGatewayOf = addresses.some(
      ({ prefix, linkLocal }) => !linkLocal && prefix.address.family === family,
    );
    if (!isGatewayOf || host.readFile(`/proc/sys/${key}`)?.trim() !== "0") continue;
    return fault(`IPv${family} forwarding is off on this node`, `sysctl -w ${key.replaceAll("/", ".")}=1`);
  }
  return null;
}

/** What the agent says of itself, where the network depends on it. */
function checkReady(conf: NetConf, host: Host): void {
  if (!needsAgent(conf)) return;
  const answer = askNode(conf.stateDir, host);
  if (answer.node === null) refuse(answer.fault, answer.hint);
}

function checkWritable(folder: string, host: Host): void {
  try {
    host.probeFolder(folder);
  } catch (error) {
    refuse(
      `${folder} can't be written: ${messageOf(error)}`,
      "see that the folder is writable and the disk has room",
    );
  }
}

function checkPrograms(conf: NetConf, host: Host): void {
  const backend = masqueradeBackend(conf, host);
  const hasIproute2 = conf.raw.executor === "iproute2";
  const needed = [
    // The state of duplicate address detection is asked of `ip`, whoever makes the links.
    ...(hasIproute2 || conf.raw.enabledad === true ? ["ip"] : []),
    ...(hasIproute2 && asksForBandwidth(conf.raw) ? ["tc"] : []),
    ...(hasIproute2 && (conf.raw.vlan || conf.raw.vlanTrunk?.length) ? ["bridge"] : []),
    ...(backend === "iptables" ? ["iptables", "ip6tables", "iptables-restore", "iptables-save"] : []),
    ...(backend === "nftables" || conf.raw.macspoofchk === true ? ["nft"] : []),
  ];
  const missing = needed.filter((program) => host.findProgram(program) === null);
  if (missing.length > 0)
    refuse(`not found: ${missing.join(", ")}`, "install it, or see the PATH of the runtime");
}

function checkPorts(conf: NetConf, host: Host): void {
  const bridge = host.link(conf.bridge);
  if (bridge === null) return;
  const ports = host.links().filter(({ masterIndex }) => masterIndex === bridge.index).length;
  if (ports <= MAX_PORTS - SPARE_PORTS) return;
  refuse(
    `bridge ${conf.bridge} has ${ports} of the ${MAX_PORTS} ports that Linux gives it`,
    "remove pods, or put some on another bridge (key bridge)",
  );
}
