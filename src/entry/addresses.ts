import { delegateOf } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { ResultRoute } from "../cni/result.ts";
import type { Dns, ValidAttachments } from "../cni/schema.ts";
import type { Host } from "../host/machine.ts";
import type { AttachmentRecord } from "../host/records.ts";
import { createReservationStore } from "../host/reservations.ts";
import { type Allocation, allocate, findExhausted } from "../ipam/allocate.ts";
import { formatRangeSet, isInRange, type RangeSet, slotOfAddress, slotsOfSet } from "../ipam/range.ts";
import { type AttachmentKey, addressOfFile, type Owner } from "../ipam/reservation.ts";
import { type Address, formatAddress } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { borrowWasmPool } from "../wasm/pool.ts";
import type { Call } from "./call.ts";
import { delegatedAddresses } from "./delegate.ts";
import { readIpam, readResolvConf, readRoutes } from "./desired.ts";

/** What an attachment was given. */
export interface Taken {
  readonly addresses: readonly Allocation[];
  /** Whole subnets of the network as far as they are known: what masquerading is about. */
  readonly subnets: readonly Prefix[];
  readonly routes: readonly ResultRoute[];
  readonly dns: Dns;
}

/** Who manages the addresses of a network: the built-in store, or another plugin. */
export interface AddressSource {
  /** The other plugin's name; null: the built-in store. */
  readonly name: string | null;
  /** Reads and checks the configuration, changes nothing; what it returns takes the addresses, all or none. */
  prepare(): () => Promise<Taken>;
  /** The addresses of `known` that an attachment still holds; null: all of its addresses, as far as they can be found. */
  held(key: AttachmentKey, known: readonly Address[] | null): Address[];
  /** Gives back what an attachment holds; `known` null: whatever that is. No error when it is nothing. */
  release(key: AttachmentKey, known: readonly Address[] | null): Promise<void>;
  /** Throws when an address is not reserved for this attachment any more. */
  check(addresses: readonly Address[]): Promise<void>;
  /** Throws code 50 when no address could be given now. */
  status(): Promise<void>;
  /**
   * Frees what no valid attachment holds (null: what is provably dead), and what is forgotten, whoever holds it;
   * returns it as far as it is known.
   */
  collect(
    valid: ValidAttachments | null,
    isForgotten: (owner: Owner, address: Address) => boolean,
  ): Promise<readonly Address[]>;
}

/** How full one range set is. */
export interface RangeUse {
  /** `10.1.2.1-10.1.2.254`; several ranges joined by commas. */
  readonly range: string;
  readonly used: number;
  /** What automatic allocation could give still. */
  readonly free: number;
}

/** Counts the reservations of the built-in store by their names alone; those of no range set are left out. */
export function countAddresses(
  host: Host,
  dataDir: string,
  network: string,
  sets: readonly RangeSet[],
): RangeUse[] {
  const reserved = host.listFolder(`${dataDir}/${network}`).flatMap((name) => addressOfFile(name) ?? []);
  return sets.map((set) => {
    const held = reserved.filter((address) => set.some((range) => isInRange(range, address)));
    // Outside of the window of a large range an address is given on request only.
    const inWindow = held.filter((address) => slotOfAddress(set, address) !== null);
    const taken = new Set(inWindow.map(formatAddress));
    for (const { gateway } of set) {
      if (slotOfAddress(set, gateway) !== null) taken.add(formatAddress(gateway));
    }
    return { range: formatRangeSet(set), used: held.length, free: slotsOfSet(set) - taken.size };
  });
}

/**
 * The source that an attachment's addresses came from as its record tells, or the one that the configuration names.
 * Throws code 7 for a name that can't be one.
 */
export function addressSource(call: Call, host: Host, record: AttachmentRecord | null = null): AddressSource {
  const type = record === null ? delegateOf(call.conf) : record.ipam;
  if (type !== null) return delegatedAddresses(type, call, host);
  return builtinAddresses(call, record?.dataDir ?? call.conf.dataDir, host);
}

function builtinAddresses({ conf, environment, key }: Call, dataDir: string, host: Host): AddressSource {
  const store = createReservationStore(host, dataDir, conf.network);
  return {
    name: null,
    prepare: () => {
      const { sets, requested } = readIpam(conf, environment, host);
      const routes = readRoutes(conf);
      const dns = readResolvConf(conf, host);
      const subnets = sets.flatMap((set) => set.map(({ subnet }) => subnet));
      return async () => {
        const take = () =>
          store.transact(key, sets, (ledger) => allocate(sets, requested, ledger, borrowWasmPool));
        return { addresses: sets.length === 0 ? [] : await take(), subnets, routes, dns };
      };
    },
    held: (of, known) => store.find(of, known),
    release: async (of, known) => {
      await store.release(of, known);
    },
    check: async (addresses) => {
      const held = store.find(key, addresses).map(formatAddress);
      const lost = addresses.map(formatAddress).filter((address) => !held.includes(address));
      if (lost.length === 0) return;
      throw new CniError(
        CNI_CODE.internal,
        `host-local: Failed to find address added by container ${key.containerId}`,
        `no reservation of ${lost.join(", ")} for ${key.containerId} ${key.ifname} in ${dataDir}/${conf.network}`,
      );
    },
    status: async () => {
      const { sets } = readIpam(conf, environment, host);
      const look = () => findExhausted(sets, store.peek(sets), borrowWasmPool);
      if (look() === null) return;
      // After a reboot the next ADD would free what the last boot held: it must not be kept from coming.
      await store.collect(() => true);
      const full = look();
      if (full === null) return;
      const details = "remove pods or stale reservations, or widen the range";
      throw new CniError(CNI_CODE.notAvailable, `no IP addresses available in range set: ${full}`, details);
    },
    collect: (valid, isForgotten) =>
      store.collect((owner, address) => {
        const { containerId, ifname } = owner;
        const isHolder = (it: ValidAttachments[number]) =>
          it.containerID === containerId && (it.ifname === ifname || ifname === "");
        return (valid === null || valid.some(isHolder)) && !isForgotten(owner, address);
      }),
  };
}
