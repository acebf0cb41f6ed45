import { DEFAULT_DATA_DIR, type NetConf, type RawPrevResult } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { Environment } from "../cni/request.ts";
import type { Host } from "../host/machine.ts";
import { createReservationStore } from "../host/reservations.ts";
import { observeSandbox, type SandboxState } from "../host/sandbox.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { formatAddress } from "../net/address.ts";
import { hostVethName } from "../net/ifname.ts";
import { formatPrefix, networkOf, parsePrefix } from "../net/prefix.ts";

/**
 * CHECK: the attachment as prevResult tells it against the kernel and the store. Passes in silence; else throws with
 * every difference, actual against wanted, in the details. Routes that later plugins added are none of ours.
 */
export function check(environment: Environment, conf: NetConf, host: Host): void {
  const prev = conf.raw.prevResult;
  if (!prev)
    throw new CniError(
      CNI_CODE.invalidConfig,
      "Required prevResult missing",
      "the runtime must pass ADD's result",
    );
  const key: AttachmentKey = {
    network: conf.network,
    containerId: environment.containerId,
    ifname: environment.ifname,
  };
  const faults = [
    ...hostFaults(key, conf, prev, host),
    ...sandboxFaults(environment, conf, prev, observeSandbox(host, environment.netns, environment.ifname)),
    ...reservationFaults(key, conf, prev, host),
  ];
  if (faults.length === 0) return;
  throw new CniError(
    CNI_CODE.internal,
    `attachment ${key.containerId} ${key.ifname} is not as it was made: ${faults[0]}`,
    faults.join("; "),
  );
}

function hostFaults(key: AttachmentKey, conf: NetConf, prev: RawPrevResult, host: Host): string[] {
  const name = hostVethName(key.network, key.containerId, key.ifname);
  const bridge = host.link(conf.bridge);
  const veth = host.link(name);
  if (bridge === null) return [`bridge ${conf.bridge} is missing`];
  if (bridge.kind !== "bridge") return [`${conf.bridge} is ${bridge.kind}, wanted a bridge`];
  if (veth === null) return [`host-side veth ${name} is missing`];
  const wanted = prev.interfaces?.find((link) => link.name === name)?.mac;
  return [
    ...(bridge.up ? [] : [`bridge ${conf.bridge} is down, wanted up`]),
    ...(veth.up ? [] : [`host-side veth ${name} is down, wanted up`]),
    ...(veth.masterIndex === bridge.index ? [] : [`host-side veth ${name} is not a port of ${conf.bridge}`]),
    ...(wanted && wanted !== veth.mac
      ? [`host-side veth ${name} has MAC ${veth.mac}, wanted ${wanted}`]
      : []),
    ...gatewayFaults(conf, prev, bridge.index, host),
  ];
}

function gatewayFaults(conf: NetConf, prev: RawPrevResult, index: number, host: Host): string[] {
  if (conf.raw.isGateway === false) return [];
  const found = host.addresses(index).map(({ prefix }) => formatAddress(prefix.address));
  const gateways = (prev.ips ?? []).flatMap(({ gateway }) => gateway ?? []);
  return gateways
    .filter((gateway) => !found.includes(gateway))
    .map((gateway) => `gateway ${gateway} is not on ${conf.bridge} (it has ${found.join(", ")})`);
}

function sandboxFaults(
  { ifname, netns }: Environment,
  conf: NetConf,
  prev: RawPrevResult,
  state: SandboxState,
): string[] {
  if (state.link === null) return [`${ifname} is missing in ${netns}`];
  const { link } = state;
  const index = (prev.interfaces ?? []).findIndex((known) => known.name === ifname && known.sandbox);
  const mac = prev.interfaces?.[index]?.mac;
  const ours = (prev.ips ?? []).filter(
    (ip) => ip.interface === undefined || ip.interface === null || ip.interface === index,
  );
  const routes = (prev.routes ?? []).flatMap(({ dst }) => parsePrefix(dst) ?? []);
  return [
    ...(link.up || conf.raw.disableContainerInterface === true ? [] : [`${ifname} is down, wanted up`]),
    ...(mac && mac !== link.mac ? [`${ifname} has MAC ${link.mac}, wanted ${mac}`] : []),
    ...ours
      .filter(({ address }) => !state.addresses.includes(address))
      .map(({ address }) => `${ifname} lacks ${address} (it has ${state.addresses.join(", ") || "none"})`),
    ...routes
      .map((dst) => formatPrefix(networkOf(dst)))
      .filter((dst) => !state.routes.includes(dst))
      .map((dst) => `route ${dst} is missing in ${netns}`),
  ];
}

function reservationFaults(key: AttachmentKey, conf: NetConf, prev: RawPrevResult, host: Host): string[] {
  const addresses = (prev.ips ?? []).flatMap(({ address }) => parsePrefix(address)?.address ?? []);
  const store = createReservationStore(host, conf.raw.ipam?.dataDir || DEFAULT_DATA_DIR, conf.network);
  const held = store.find(key, addresses).map(formatAddress);
  return addresses
    .map(formatAddress)
    .filter((address) => !held.includes(address))
    .map((address) => `no reservation of ${address} for ${key.containerId} ${key.ifname}`);
}
