import { CNI_CODE, CniError } from "../cni/errors.ts";
import { ExecuteError } from "../host/errors.ts";
import type { KeptClaim } from "../host/host-port-claims.ts";
import type { Host } from "../host/machine.ts";
import type { Prefix } from "../net/prefix.ts";
import { type Attachment, planAttach } from "../topology/attachment.ts";
import { beside } from "./beside.ts";
import { type BridgeWish, bridgeWish, ensureBridge } from "./bridge.ts";
import type { Call } from "./call.ts";
import { loadHostPorts } from "./host-ports/when-asked.ts";
import { addMasquerade, masqueradeBackend } from "./masquerade.ts";
import { addSpoofCheck } from "./spoof.ts";

/** Longest wait for the kernel to open a new bridge port, in milliseconds; it takes a few. */
const PORT_TIMEOUT_MS = 2_000;
const FORWARDING = 3;
/** As long as the reference waits (SettleAddresses); detection itself takes one to two seconds. */
const DAD_TIMEOUT_MS = 10_000;

/** BR_MAX_PORTS − 1 of net/bridge/br_private.h: what a bridge takes. */
export const MAX_PORTS = 1023;

/** Makes what an attachment needs, bridge and rules included; returns the bridge's MAC and MTU. */
export async function attach(
  { conf }: Call,
  attachment: Attachment,
  subnets: readonly Prefix[],
  claim: KeptClaim | null,
  host: Host,
): Promise<{ readonly mac: string; readonly mtu: number }> {
  const bridge = await makeBridge(bridgeWish(conf, attachment), host);
  const backend = masqueradeBackend(conf, host);
  if (backend !== null) await addMasquerade(conf, subnets, backend, host);
  if (conf.raw.macspoofchk === true) {
    await addSpoofCheck(conf, { hostVeth: attachment.hostVeth, mac: attachment.podMac }, host);
  }
  const ports = claim === null ? null : (await loadHostPorts()).openPorts(claim, conf.stateDir, host);
  const done = await beside(ports, () => host.execute(planAttach(attachment)));
  if (done.work.status === "rejected") throw explain(done.work.reason, attachment);
  if (done.called.status === "rejected") throw done.called.reason;
  // A port whose far end stays down has no carrier, so it never opens.
  if (!attachment.podDown) await awaitPort(attachment, host);
  if (attachment.enableDad && !attachment.podDown) await awaitDad(attachment, host);
  return bridge;
}

async function makeBridge(wish: BridgeWish, host: Host) {
  try {
    return await ensureBridge(wish, host);
  } catch (error) {
    const isVlanStep = error instanceof ExecuteError && / vlan_filtering 1$/.test(error.command);
    if (!isVlanStep || !/not supported/.test(error.stderr)) throw error;
    const key = wish.vlan === null ? "vlanTrunk" : `vlan=${wish.vlan}`;
    throw new CniError(
      CNI_CODE.unsupportedField,
      `unsupported field: ${key}: the bridges of this kernel know no VLANs`,
      `${error.message}; wanted: a kernel with CONFIG_BRIDGE_VLAN_FILTERING`,
    );
  }
}

/** What the kernel says in two words, in the words of who has to act on it. */
function explain(error: unknown, { key, netns, hostVeth, bridge }: Attachment): unknown {
  if (!(error instanceof ExecuteError)) return error;
  if (error.step.op === "link.add" && error.step.link.kind === "veth" && /File exists/.test(error.stderr)) {
    return new CniError(
      CNI_CODE.invalidEnvironment,
      `CNI_IFNAME=${key.ifname} already exists in CNI_NETNS=${netns}`,
      `${error.message}; wanted: no such interface yet. Run DEL first, or use another name`,
    );
  }
  // EXFULL of br_add_if(): no port number is free.
  if (error.step.op === "link.set" && /Exchange full/.test(error.stderr)) {
    return new CniError(
      CNI_CODE.tryAgainLater,
      `bridge ${bridge} has all the ${MAX_PORTS} ports that Linux gives it: no room for ${hostVeth}`,
      "remove pods, or put some on another bridge (key bridge)",
    );
  }
  return error;
}

/** The pod's IPv6 addresses are usable only when nobody else answered for them (RFC 4862 §5.4). */
async function awaitDad({ key, netns }: Attachment, host: Host): Promise<void> {
  const argv = ["ip", "-6", "-o", "addr", "show", "dev", key.ifname, "tentative"];
  const deadline = performance.now() + DAD_TIMEOUT_MS;
  for (;;) {
    const { exitCode, stdout, stderr } = await host.spawn({ argv, netns });
    if (exitCode !== 0)
      throw new CniError(CNI_CODE.internal, `\`${argv.join(" ")}\` failed: ${stderr.trim()}`);
    const duplicate = /inet6 (\S+).*dadfailed/.exec(stdout)?.[1];
    if (duplicate !== undefined) {
      const details = "duplicate address detection (enabledad) found it in use on this link";
      throw new CniError(CNI_CODE.internal, `${duplicate} is held by somebody else`, details);
    }
    if (stdout.trim() === "") return;
    if (performance.now() > deadline) {
      const message = `${key.ifname} still has tentative addresses after ${DAD_TIMEOUT_MS} ms`;
      throw new CniError(CNI_CODE.internal, message, stdout.trim());
    }
    await host.sleep(50);
  }
}

/** A port carries traffic only once the kernel has seen its carrier: the pod may send as soon as we return. */
async function awaitPort({ hostVeth }: Attachment, host: Host): Promise<void> {
  const deadline = performance.now() + PORT_TIMEOUT_MS;
  for (let pauseMs = 0.2; ; pauseMs = Math.min(pauseMs * 2, 20)) {
    const link = host.link(hostVeth);
    if (link?.portState === FORWARDING) return;
    if (performance.now() > deadline) {
      const details = `state ${link?.portState ?? "none"} after ${PORT_TIMEOUT_MS} ms, wanted ${FORWARDING} (forwarding)`;
      throw new CniError(CNI_CODE.internal, `bridge port ${hostVeth} in error state`, details);
    }
    host.deadline.check(`waiting for bridge port ${hostVeth}`);
    await host.sleep(pauseMs);
  }
}
