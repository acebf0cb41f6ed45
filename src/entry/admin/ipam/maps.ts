import { findIpamFaults } from "../../../doctor/ipam-faults.ts";
import {
  describeHolder,
  holderOf,
  isDead,
  shortId,
  stateOfReservation,
} from "../../../doctor/ipam-states.ts";
import type { Ipam, IpamNetwork } from "../../../doctor/sections/ipam.ts";
import { type HeldAddress, MOST_CELLS, mapCells, type RangeMap } from "./cells.ts";

/** The ranges of a network as pictures. JSON-able. */
export interface NetworkMap {
  readonly network: string;
  readonly store: string;
  /** Empty where no configuration tells of any. */
  readonly ranges: readonly RangeMap[];
  /** Reservations of the store, in a range or not. */
  readonly held: number;
  /** Those that something is wrong with. */
  readonly leaked: number;
}

/** A map of every range of every network; `most`: cells each. */
export function mapNetworks(ipam: Ipam, most = MOST_CELLS): NetworkMap[] {
  const faulty = faultyAddresses(ipam);
  return ipam.networks.map((network) => {
    const held = heldAddresses(network, faulty);
    return {
      network: network.network,
      store: network.store,
      ranges: network.sets.flatMap(({ ranges, next }) =>
        ranges.map((range) => mapCells(range, held, next, most)),
      ),
      held: held.length,
      leaked: held.filter(({ isLeaked }) => isLeaked).length,
    };
  });
}

/** Network and address of whatever should not be as it is. */
function faultyAddresses(ipam: Ipam): ReadonlySet<string> {
  const found = findIpamFaults(ipam).filter(({ level }) => level !== "note");
  return new Set(
    found.flatMap(({ network, address }) => (address === null ? [] : [`${network} ${address}`])),
  );
}

/** Who holds which address of a network. `faulty`: `network address`. */
function heldAddresses(network: IpamNetwork, faulty: ReadonlySet<string>): HeldAddress[] {
  return network.reservations.map((reservation) => {
    const { address, containerId } = reservation;
    const state = stateOfReservation(reservation, network);
    const holder = holderOf(reservation, network);
    const name =
      containerId === null
        ? "nobody"
        : holder === null
          ? `container ${shortId(containerId)}`
          : describeHolder(holder);
    const isLeaked = isDead(state) || faulty.has(`${network.network} ${address}`);
    return { address, holder: `${name}: ${state}`, isLeaked };
  });
}
