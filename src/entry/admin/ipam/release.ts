import type { NetConf } from "../../../cni/config.ts";
import { OWN_TYPE, parseNetConf } from "../../../cni/config.ts";
import { parseEnvironment } from "../../../cni/request.ts";
import {
  describeHolder,
  holderOf,
  isDead,
  shortId,
  stateOfReservation,
} from "../../../doctor/ipam-states.ts";
import type { Ipam, IpamAttachment, IpamNetwork, IpamReservation } from "../../../doctor/sections/ipam.ts";
import { messageOf } from "../../../host/errors.ts";
import { releaseTorn } from "../../../host/ipam-store.ts";
import type { Host } from "../../../host/machine.ts";
import { readRecord } from "../../../host/records.ts";
import { createReservationStore } from "../../../host/reservations.ts";
import { parseAddress } from "../../../net/address.ts";
import { addressSource } from "../../addresses.ts";
import { attachmentLock, type Call, formatKey } from "../../call.ts";
import { detach } from "../../detach.ts";
import type { IpamPlaces } from "./observe.ts";
import { findStores, type Store } from "./stores.ts";

/** What became of one address. JSON-able. */
export interface Outcome {
  readonly address: string;
  readonly network: string | null;
  readonly outcome: "released" | "would be released" | "refused" | "unknown" | "failed";
  /** What went with it, or would; or why not, and what to do. One line each. */
  readonly lines: readonly string[];
}

/** What `release` was told, and how it looks at the machine. */
export interface ReleaseRequest {
  readonly network: string | null;
  readonly isDryRun: boolean;
  readonly isForced: boolean;
  readonly places: IpamPlaces;
  /** Where plugins are, for addresses that another IPAM plugin gave. */
  readonly pluginDir: string;
  readonly observe: () => Promise<Ipam>;
}

/** Frees what nobody who lives holds, one address after the other. Never throws for what one of them meets with. */
export async function releaseAll(
  addresses: readonly string[],
  request: ReleaseRequest,
  host: Host,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const address of addresses) {
    try {
      outcomes.push(await releaseOne(address, request, host));
    } catch (error) {
      outcomes.push({ address, network: request.network, outcome: "failed", lines: [messageOf(error)] });
    }
  }
  return outcomes;
}

interface Found {
  readonly network: IpamNetwork;
  readonly reservation: IpamReservation;
  readonly holder: IpamAttachment | null;
}

function find(ipam: Ipam, address: string, network: string | null): Found[] {
  return ipam.networks
    .filter((it) => network === null || it.network === network)
    .flatMap((it) =>
      it.reservations
        .filter((reservation) => reservation.address === address)
        .map((reservation) => ({ network: it, reservation, holder: holderOf(reservation, it) })),
    );
}

async function releaseOne(address: string, request: ReleaseRequest, host: Host): Promise<Outcome> {
  const { isDryRun } = request;
  const ipam = await request.observe();
  const found = find(ipam, address, request.network);
  const [one, another] = found;
  if (one === undefined) return describeUnknown(address, request.network, ipam);
  const network = one.network.network;
  if (another !== undefined) {
    const names = [...new Set(found.map((it) => it.network.network))].join(", ");
    const lines = [`it is held in several networks: ${names}`, "say which: --network NAME"];
    return { address, network: null, outcome: "refused", lines };
  }
  const refusal = refuse(one, request.isForced);
  if (refusal !== null) return { address, network, outcome: "refused", lines: refusal };
  if (isDryRun) return { address, network, outcome: "would be released", lines: describeRemoval(one) };
  return { address, network, ...(await release(one, request, host)) };
}

function describeUnknown(address: string, network: string | null, { networks }: Ipam): Outcome {
  const stores = networks
    .filter((it) => network === null || it.network === network)
    .map(({ store }) => store);
  const looked =
    stores.length === 0 ? `there is no network ${network ?? ""}`.trimEnd() : `not in ${stores.join(", ")}`;
  const lines = [`no reservation of it: ${looked}`, "see what is held: minicni ipam show"];
  return { address, network, outcome: "unknown", lines };
}

/** Why an address is not to be freed; null when it may be. */
function refuse({ network, reservation, holder }: Found, isForced: boolean): string[] | null {
  const state = stateOfReservation(reservation, network);
  if (isDead(state) || isForced) return null;
  const name =
    holder === null ? `container ${shortId(reservation.containerId ?? "")}` : describeHolder(holder);
  const why =
    state === "live"
      ? `${name} lives and uses it`
      : state === "busy"
        ? `a call of ${name} is under way`
        : state === "cut off"
          ? `${name} is there still, though somebody removed its veth`
          : `nothing tells whether ${name} lives`;
  const place =
    holder?.netns === null || holder === null ? [] : [`namespace ${holder.netns}: ${holder.netnsState}`];
  return [why, ...place, "delete the pod, or take its network away all the same: --force"];
}

/** What goes with an address: all that its attachment has. */
function describeRemoval({ network, reservation, holder }: Found): string[] {
  const state = stateOfReservation(reservation, network);
  const isAlone = state === "surplus" || reservation.containerId === null || holder === null;
  const others = network.reservations.filter(
    (it) => !isAlone && it !== reservation && holderOf(it, network) === holder,
  );
  const name = holder === null ? "nobody" : describeHolder(holder);
  return [
    `reservation ${reservation.file} (${name}: ${state})`,
    ...others.map(({ file }) => `reservation ${file}`),
    ...(isAlone || holder.hostVeth === null ? [] : [`link ${holder.hostVeth.name}`]),
    ...(isAlone || holder.record === null
      ? []
      : [`record of ${holder.containerId} ${holder.ifname}, with its rules and host ports`]),
  ];
}

/** By the way of a DEL, so that nothing of the attachment stays; under its lock it may be alive after all. */
async function release(
  found: Found,
  request: ReleaseRequest,
  host: Host,
): Promise<Pick<Outcome, "outcome" | "lines">> {
  const { reservation, network, holder } = found;
  const address = parseAddress(reservation.address);
  const folder = `${reservation.dataDir}/${network.network}`;
  const lines = describeRemoval(found);
  if (address === null) return { outcome: "failed", lines: [`${reservation.address} is no address`] };
  if (reservation.containerId === null) {
    const isDone = await releaseTorn(host, folder, address);
    return isDone
      ? { outcome: "released", lines }
      : { outcome: "refused", lines: ["somebody holds it by now"] };
  }
  const { containerId } = reservation;
  const key = { network: network.network, containerId, ifname: holder?.ifname ?? reservation.ifname };
  const call = callOf(found, key, request, host);
  const refusal = await host.withAttachmentLock(attachmentLock(call.conf), formatKey(key), async () => {
    const again = find(await request.observe(), reservation.address, network.network)[0];
    if (again === undefined) return ["it is free by now"];
    const isSame = again.reservation.containerId === containerId;
    // Our own lock makes it look busy.
    const idle = {
      ...again.network,
      attachments: again.network.attachments.map((it) => ({ ...it, isBusy: false })),
    };
    const state = stateOfReservation(again.reservation, idle);
    if (!isSame || !(isDead(state) || request.isForced))
      return [`it is held by ${again.reservation.containerId ?? "nobody"} by now (${state})`];
    const store = createReservationStore(host, reservation.dataDir, network.network);
    if (state !== "surplus") {
      const record = readRecord(host, call.conf.stateDir, key);
      await detach(call, record, addressSource(call, host, record), host);
    }
    // What its record did not name.
    await store.release(key, [address]);
    return null;
  });
  return refusal === null ? { outcome: "released", lines } : { outcome: "refused", lines: refusal };
}

/** The DEL that a runtime would call. Throws where another IPAM plugin would have to be told and can't be. */
function callOf(
  { network, reservation, holder }: Found,
  key: Call["key"],
  { places, pluginDir }: ReleaseRequest,
  host: Host,
): Call {
  const store = findStores(places, host).stores.find(
    (it) => it.network === network.network && it.isOurs === (network.kind === "ours"),
  );
  const record = holder?.record ?? null;
  const ipam = record === null || record === "torn" ? null : record.ipam;
  if (ipam !== null && (store?.known ?? null) === null) {
    throw new Error(
      `its addresses are managed by ${ipam}, and no configuration of ${network.network} is known`,
    );
  }
  const variables = {
    CNI_COMMAND: "DEL",
    CNI_CONTAINERID: key.containerId,
    CNI_IFNAME: key.ifname,
    CNI_PATH: pluginDir,
  };
  const { conf, stdin } = confOf(store, network, reservation, places);
  return { key, environment: parseEnvironment(variables), conf, variables, stdin };
}

/** With the store that the reservation is in, which may not be the configured one any more. */
function confOf(
  store: Store | undefined,
  { network }: IpamNetwork,
  { dataDir }: IpamReservation,
  { stateDir }: IpamPlaces,
): { readonly conf: NetConf; readonly stdin: string } {
  const known = store?.isOurs === true ? store.known : null;
  if (known !== null) return { conf: { ...known.conf, dataDir }, stdin: known.stdin };
  const json = { cniVersion: "1.1.0", name: network, type: OWN_TYPE, stateDir, dataDir };
  return { conf: parseNetConf(json, true), stdin: JSON.stringify(json) };
}
