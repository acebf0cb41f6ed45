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
} as const;

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
