import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { libc } from "../libc.ts";
import { type OpenNetns, openOrTell } from "../netns.ts";
import type { Names } from "./encode.ts";

/** include/uapi/linux/sockios.h; any socket takes it, and answers for its own namespace. */
const SIOCGIFINDEX = 0x8933;
const SIOCGIFNAME = 0x8910;
/** struct ifreq: the name (IFNAMSIZ, 16 bytes), then a union whose largest member has 24. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** A link that is not there; in iproute2's words. */
export class NoSuchLink extends Error {
  override readonly name = "NoSuchLink";
  constructor(link: string) {
    super(`Cannot find device "${link}"`);
  }
}

/** Names of one namespace, looked up once; closes what it opened. */
export interface OpenNames extends Names {
  /** Links came or went. */
  forget(): void;
  close(): void;
}

/** Resolves link names in the namespace of a socket, and opens namespaces by `open`. */
export function openNames(socket: number, open: OpenNetns): OpenNames {
  const indexes = new Map<string, number>();
  const opened: number[] = [];
  return {
    index: (name) => {
      const index = indexes.get(name) ?? askIndex(socket, name);
      indexes.set(name, index);
      return index;
    },
    netns: (path) => {
      const file = openOrTell(path, open);
      opened.push(file);
      return file;
    },
    forget: () => indexes.clear(),
    close: () => {
      for (const file of opened) closeSync(file);
    },
  };
}

/** The index of a link. Throws NoSuchLink. */
export function askIndex(socket: number, name: string): number {
  const bytes = new TextEncoder().encode(name);
  const request = new Uint8Array(IFREQ_BYTES);
  if (bytes.length >= NAME_BYTES || bytes.length === 0) throw new NoSuchLink(name);
  request.set(bytes);
  if (libc().ioctl(socket, SIOCGIFINDEX, ptr(request)) !== 0) throw new NoSuchLink(name);
  return new DataView(request.buffer).getInt32(NAME_BYTES, true);
}

/** Whether a link with this index is in the namespace of a socket; needs no lock of the kernel. */
export function isListed(socket: number, index: number): boolean {
  const request = new Uint8Array(IFREQ_BYTES);
  new DataView(request.buffer).setInt32(NAME_BYTES, index, true);
  return libc().ioctl(socket, SIOCGIFNAME, ptr(request)) === 0;
}
