import type { MessageWriter } from "./writer.ts";

/** Address families of include/linux/socket.h, by ours where we have a name for them. */
export const AF = { 4: 2, 6: 10, bridge: 7 } as const;

/** Messages of include/uapi/linux/rtnetlink.h. */
export const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddr: 20,
  delAddr: 21,
  newRoute: 24,
  delRoute: 25,
  newNeigh: 28,
  delNeigh: 29,
  newQdisc: 36,
  getQdisc: 38,
  newFilter: 44,
  getFilter: 46,
} as const;

/** Attributes of a link (include/uapi/linux/if_link.h). */
export const IFLA = {
  address: 1,
  ifname: 3,
  mtu: 4,
  link: 5,
  master: 10,
  txqlen: 13,
  linkinfo: 18,
  ifalias: 20,
  afSpec: 26,
  group: 27,
  netNsFd: 28,
  linkNetnsid: 37,
} as const;

/** No such link: where one is removed, it went by itself meanwhile, with its pod's namespace. */
export const ENODEV = 19;

/** The 6 bytes of a MAC in colon form. */
export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(":"), (pair) => Number.parseInt(pair, 16));
}

/** struct ifinfomsg: family and padding (two bytes), type (two), index, flags, mask of the flags that change. */
export function writeIfinfo(
  writer: MessageWriter,
  index: number,
  family = 0,
  { flags, mask }: { readonly flags: number; readonly mask: number } = { flags: 0, mask: 0 },
): void {
  writer.u32(family);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(mask);
}
