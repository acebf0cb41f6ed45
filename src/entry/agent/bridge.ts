import { DEFAULT_BRIDGE, delegateOf, type NetConf } from "../../cni/config.ts";
import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { type AttachmentRecord, readRecord, recordedAttachments } from "../../host/records.ts";
import type { Range } from "../../ipam/range.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { contains, type Prefix } from "../../net/prefix.ts";
import { formatStep } from "../../plan/format.ts";
import type { ObservedLink } from "../../plan/state.ts";
import { OWN_NETWORK } from "../../topology/conflist.ts";
import { isGuarded, type Port, planReattach } from "../../topology/port.ts";
import { type BridgeWish, bridgeLock, ensureBridge, LOCK_TIMEOUT_MS, planWish } from "../bridge.ts";
import { configuredRanges, isGateway, readTrunk } from "../desired.ts";
import { findPublished } from "../node.ts";
import { type KnownNetwork, knownNetworks } from "./networks.ts";
import { planStaleGateways } from "./stale-gateways.ts";

/** What one pass changed, as commands, and what it could not or must not change. */
export interface BridgeReport {
  readonly changes: readonly string[];
  readonly faults: readonly string[];
}

/** See {@link createBridgeRepair}. */
export interface BridgeRepair {
  pass(): Promise<BridgeReport>;
}

/** The live attachments of one network on one bridge in one VLAN. */
interface Group {
  readonly network: KnownNetwork;
  readonly bridge: string;
  readonly vlan: number | null;
  readonly pods: readonly AttachmentRecord[];
}

/**
 * Repairs what pods hang on: their bridge with its gateway addresses, forwarding, and their ports. Only `minicni0` is
 * made, set up and given addresses, because that name is ours; of a bridge that the configuration names only our own
 * ports are brought back, and what else it lacks is told. What a network's records and configuration do not tell is
 * never guessed.
 */
export function createBridgeRepair(
  host: Host,
  settings: { readonly stateDir: string; readonly confDir: string },
): BridgeRepair {
  return {
    pass: async () => {
      const { networks, faults } = knownNetworks(host, settings);
      const changes: string[] = [];
      const records = networks.map((network) => ({ network, pods: completeRecords(network.conf, host) }));
      // Behind the records: the links of what is made meanwhile are there already.
      const links = new Map(host.links().map((link) => [link.name, link]));
      await removeStaleGateways(networks, host, settings.stateDir, changes, faults);
      const groups = records.flatMap(({ network, pods }) => groupsOf(network, pods, links));
      // Untagged ones first: the bridge takes its MAC from their gateway, as it did at first.
      for (const group of groups.sort((a, b) => (a.vlan ?? 0) - (b.vlan ?? 0))) {
        try {
          await repairBridge(group, host, changes, faults);
          await repairPorts(group, links, host, changes, faults);
        } catch (error) {
          faults.push(`bridge ${group.bridge} of ${group.network.conf.network}: ${messageOf(error)}`);
        }
      }
      return { changes, faults };
    },
  };
}

async function removeStaleGateways(
  networks: readonly KnownNetwork[],
  host: Host,
  stateDir: string,
  changes: string[],
  faults: string[],
): Promise<void> {
  try {
    const ranges = networks.flatMap((network) => rangesOf(network, host).map(({ subnet }) => subnet));
    const plan = planStaleGateways(networks, ranges, host, stateDir);
    if (plan.length === 0) return;
    await host.withLock(bridgeLock(stateDir), LOCK_TIMEOUT_MS, async () => {
      // An ADD may have taken one of them into use meanwhile.
      const still = planStaleGateways(networks, ranges, host, stateDir);
      await host.execute(still);
      changes.push(...still.map(formatStep));
    });
  } catch (error) {
    faults.push(`gateways of earlier pod CIDRs: ${messageOf(error)}`);
  }
}

function completeRecords(conf: NetConf, host: Host): AttachmentRecord[] {
  const bootId = host.bootId();
  return recordedAttachments(host, conf.stateDir, conf.network).flatMap((key) => {
    const record = readRecord(host, conf.stateDir, key);
    const isLive = record?.phase === "complete" && record.kind === "bridge" && record.bootId === bootId;
    return isLive ? [record] : [];
  });
}

function groupsOf(
  network: KnownNetwork,
  pods: readonly AttachmentRecord[],
  links: ReadonlyMap<string, ObservedLink>,
): Group[] {
  const live = pods.filter(({ hostVeth }) => links.get(hostVeth)?.kind === "veth");
  const byPlace = Map.groupBy(live, ({ bridge, vlan }) => `${bridge} ${vlan}`);
  return [...byPlace.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [{ network, bridge: first.bridge, vlan: first.vlan, pods: group }];
  });
}

async function repairBridge(group: Group, host: Host, changes: string[], faults: string[]): Promise<void> {
  const { network, bridge } = group;
  const { gateways, unknown } = gatewaysOf(group, host);
  const isMissing = host.link(bridge) === null;
  if (isMissing && unknown.length > 0) {
    faults.push(
      `bridge ${bridge} is missing, and no range of ${network.conf.network} is known for ${unknown.join(", ")}: its gateway there is not made`,
    );
    if (gateways.length === 0) return;
  }
  const wish = describeWish(group, gateways);
  const plan = planWish(wish, host);
  if (plan.length === 0) return;
  const commands = plan.map(formatStep);
  if (bridge !== DEFAULT_BRIDGE) {
    const lacking = isMissing ? "is missing" : `lacks: ${commands.join("; ")}`;
    faults.push(`bridge ${bridge} of ${network.conf.network} ${lacking} (it is not ours to change)`);
    return;
  }
  await ensureBridge(wish, host);
  changes.push(...commands);
}

function describeWish({ network, bridge, vlan, pods }: Group, gateways: BridgeWish["gateways"]): BridgeWish {
  const { conf } = network;
  return {
    name: bridge,
    mtu: Math.max(...pods.map(({ mtu }) => mtu)),
    promisc: conf.raw.promiscMode ?? false,
    // An ADD that wants it does it: two networks that want other addresses must not fight in each pass.
    forceAddress: false,
    gateways,
    vlanFiltering: vlan !== null || readTrunk(conf).length > 0,
    vlan,
    preserveDefaultVlan: conf.raw.preserveDefaultVlan ?? false,
    stateDir: conf.stateDir,
  };
}

/** Gateways of the ranges that the pods have addresses of, in the order of the ranges, and addresses of no known range. */
function gatewaysOf(
  { network, pods }: Group,
  host: Host,
): { readonly gateways: { prefix: Prefix; gateway: Address }[]; readonly unknown: string[] } {
  if (network.file !== null && !isGateway(network.conf)) return { gateways: [], unknown: [] };
  const ranges = rangesOf(network, host);
  const addresses = pods.flatMap((pod) =>
    pod.addresses.flatMap((text) => {
      const address = parseAddress(text);
      return address === null ? [] : [{ text, address, isOurs: pod.ipam === null }];
    }),
  );
  const isIn = ({ subnet }: Range, address: Address) => contains(subnet, address);
  const used = ranges.filter((range) =>
    addresses.some(({ address, isOurs }) => isOurs && isIn(range, address)),
  );
  const unknown = addresses.filter(
    ({ address, isOurs }) => !isOurs || !ranges.some((range) => isIn(range, address)),
  );
  return {
    gateways: used.map(({ subnet, gateway }) => ({ prefix: subnet, gateway })),
    unknown: unknown.map(({ text }) => text),
  };
}

/** Without a configuration only the agent's own network is known: it is that of the pod CIDRs. */
function rangesOf({ conf, file }: KnownNetwork, host: Host): readonly Range[] {
  if ((file === null && conf.network !== OWN_NETWORK) || delegateOf(conf) !== null) return [];
  return configuredRanges(conf, () => findPublished(conf.stateDir, host)?.podCidrs ?? []).flat();
}

async function repairPorts(
  { network, bridge, pods }: Group,
  links: ReadonlyMap<string, ObservedLink>,
  host: Host,
  changes: string[],
  faults: string[],
): Promise<void> {
  const link = host.link(bridge);
  if (link?.kind !== "bridge") return;
  const { conf, file } = network;
  const isKnown = file !== null || conf.network === OWN_NETWORK;
  const lost: Port[] = [];
  for (const { hostVeth, hairpin, isolated, vlan } of pods) {
    const master = links.get(hostVeth)?.masterIndex ?? null;
    if (master === link.index) continue;
    const other = [...links.values()].find(({ index }) => index === master);
    if (other !== undefined) {
      faults.push(`${hostVeth} is a port of ${other.name}, wanted ${bridge}: somebody moved it`);
    } else if (link.vlanFiltering === true && !isKnown) {
      faults.push(`${hostVeth} lost bridge ${bridge}, and its VLANs are not known without a configuration`);
    } else {
      const { preserveDefaultVlan } = conf.raw;
      const vlans = { vlan, trunk: readTrunk(conf), preserveDefaultVlan: preserveDefaultVlan ?? false };
      lost.push({ hostVeth, bridge, hairpin, isolated, ...vlans });
    }
  }
  const plain = lost.filter((port) => !isGuarded(port)).flatMap(planReattach);
  const failures = plain.length === 0 ? [] : await host.executeEach(plain);
  const failed = new Set(failures.map(({ step }) => step));
  changes.push(...plain.filter((step) => !failed.has(step)).map(formatStep));
  faults.push(...failures.map(({ command, message }) => `\`${command}\` failed: ${message}`));
  for (const port of lost.filter(isGuarded)) {
    const plan = planReattach(port);
    try {
      await host.execute(plan);
      changes.push(...plan.map(formatStep));
    } catch (error) {
      faults.push(messageOf(error));
    }
  }
}
