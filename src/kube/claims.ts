import { addressBits, type Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/** Who holds which network; two holders never overlap. */
export interface Claims {
  /** Who holds a network that shares an address with this one; undefined when nobody does. */
  readonly ownerOf: (network: Prefix) => string | undefined;
  /** Only for a network of which `ownerOf` says undefined, and of a length announced to {@link openClaims}. */
  readonly claim: (network: Prefix, owner: string) => void;
}

/** All that is known of networks of one family and length. */
interface Layer {
  readonly length: number;
  /** Networks of just this length. */
  readonly held: Map<bigint, string>;
  /** Networks of this length within which a longer one is held. */
  readonly holding: Map<bigint, string>;
}

/**
 * An empty register of networks. It wants to know the lengths that will come: each network is looked up once for each
 * of them, which for the one or two lengths of a cluster beats any tree.
 */
export function openClaims(networks: readonly Prefix[]): Claims {
  const layers: Record<Family, Layer[]> = { 4: [], 6: [] };
  for (const { address, length } of networks) {
    const known = layers[address.family];
    if (known.some((layer) => layer.length === length)) continue;
    known.push({ length, held: new Map(), holding: new Map() });
  }
  return {
    ownerOf: (network) => {
      for (const { length, held, holding } of layers[network.address.family]) {
        if (length > network.length) continue;
        const head = headOf(network, length);
        const owner = held.get(head) ?? (length === network.length ? holding.get(head) : undefined);
        if (owner !== undefined) return owner;
      }
      return undefined;
    },
    claim: (network, owner) => {
      for (const { length, held, holding } of layers[network.address.family]) {
        if (length === network.length) held.set(headOf(network, length), owner);
        else if (length < network.length) holding.set(headOf(network, length), owner);
      }
    },
  };
}

/** The leading `length` bits of a network. */
function headOf({ address }: Prefix, length: number): bigint {
  return address.value >> BigInt(addressBits(address.family) - length);
}
