import { realpathSync } from "node:fs";
import { unlessMissing } from "./files.ts";
import { ask, attributes } from "./netlink/message.ts";

/** include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h. */
const NETLINK_NETFILTER = 12;
const NFT_MSG_GETGEN = (10 << 8) | 16;
const NFGEN_BYTES = 4;
const NFTA_GEN_ID = 1;

/**
 * The number of changes that the nf_tables rules of our namespace have had, those of iptables-nft included: the same number,
 * the same rules. Null where the kernel has no nf_tables.
 */
export function observeGeneration(): number | null {
  const query = {
    protocol: NETLINK_NETFILTER,
    type: NFT_MSG_GETGEN,
    dump: false,
    fixed: new Uint8Array(NFGEN_BYTES),
    attributes: [],
  };
  const [message] = ask(query, () => undefined);
  if (message === undefined) return null;
  // In network order, as all numbers of nf_tables.
  return attributes(message.body, NFGEN_BYTES).get(NFTA_GEN_ID)?.getUint32(0) ?? null;
}

/** Whether a program keeps its rules in nf_tables: `nft`, or an iptables that is a link to xtables-nft-multi. */
export function isNftProgram(path: string): boolean {
  const real = unlessMissing(() => realpathSync(path)) ?? path;
  return /nft/.test(real.slice(real.lastIndexOf("/") + 1));
}
