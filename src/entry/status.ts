import { hasNoAddresses, type NetConf } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { Host } from "../host/machine.ts";
import { recordedAttachments } from "../host/records.ts";
import { addressSource } from "./addresses.ts";
import { MAX_PORTS } from "./attach.ts";
import type { Call } from "./call.ts";
import { isGateway } from "./desired.ts";
import { masqueradeBackend } from "./masquerade.ts";
import { findNode } from "./node.ts";

/** A bridge with fewer free ports than this is nearly full: new pods belong on another node. */
const SPARE_PORTS = 16;

/**
 * STATUS: passes in silence when an ADD could be served now. Throws code 51 when the pods that are there can't be
 * reached as they should, else code 50 with what is missing. ADD never looks at it (SPEC §2 "STATUS").
 */
export async function status(call: Call, host: Host, isIpam = false): Promise<void> {
  const { conf } = call;
  if (!isIpam) checkReachable(conf, host);
  checkReady(conf, host);
  const source = addressSource(call, host);
  for (const folder of [conf.stateDir, ...(source.name === null ? [conf.dataDir] : [])]) {
    checkWritable(folder, host);
  }
  if (!isIpam) {
    checkPrograms(conf, host);
    checkPorts(conf, host);
  }
  if (!hasNoAddresses(conf.raw)) await source.status();
}

function refuse(message: string, details: string): never {
  throw new CniError(CNI_CODE.notAvailable, message, details);
}

/** What makes the pods that are there suffer: only looked at when there are any. */
function checkReachable(conf: NetConf, host: Host): void {
  const pods = recordedAttachments(host, conf.stateDir, conf.network).length;
  if (pods === 0) return;
  const bridge = host.link(conf.bridge);
  const limited = (message: string, details: string) =>
    new CniError(CNI_CODE.limited, message, `${details} (${pods} attachments of ${conf.network})`);
  if (bridge === null) throw limited(`bridge ${conf.bridge} is missing`, "the next ADD makes it again");
  if (!bridge.up) throw limited(`bridge ${conf.bridge} is down`, `ip link set ${conf.bridge} up`);
  if (!isGateway(conf)) return;
  const families = new Set(host.addresses(bridge.index).map(({ prefix }) => prefix.address.family));
  if (families.has(4) && host.readFile("/proc/sys/net/ipv4/ip_forward")?.trim() === "0") {
    throw limited("IPv4 forwarding is off on this node", "sysctl -w net.ipv4.ip_forward=1");
  }
}

/** What the agent says of itself, where the network depends on it. */
function checkReady(conf: NetConf, host: Host): void {
  if (conf.raw.ipam) return;
  const node = findNode(conf.stateDir, host);
  const path = `${conf.stateDir}/node.json`;
  if (node === null) refuse(`not ready: no ${path}`, "wait for the minicni agent, or configure ipam");
  if (node.notReady !== null) refuse(`not ready: ${node.notReady}`, `as ${path} says`);
  if (node.podCidrs.length === 0) refuse(`not ready: ${path} names no pod CIDR`, "see --allocate-node-cidrs");
}

function checkWritable(folder: string, host: Host): void {
  try {
    host.probeFolder(folder);
  } catch (error) {
    refuse(
      `${folder} can't be written: ${error instanceof Error ? error.message : String(error)}`,
      "see that the folder is writable and the disk has room",
    );
  }
}

function checkPrograms(conf: NetConf, host: Host): void {
  const backend = masqueradeBackend(conf, host);
  const needed = [
    "ip",
    ...(backend === "iptables" ? ["iptables", "ip6tables", "iptables-restore"] : []),
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
