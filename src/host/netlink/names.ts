import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { createIfreq } from "../ifreq.ts";
import { libc } from "../libc.ts";
import { type OpenNetns, openOrTell } from "../netns.ts";
import type { Names } from "./encode.ts";

/** include/uapi/linux/sockios.h; any socket takes it, and answers for its own namespace. */
const SIOCGIFINDEX = 0x8933;
const SIOCGIFNAME = 0x8910;

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
  const request = name === "" ? null : createIfreq(name);
  if (request === null || libc().ioctl(socket, SIOCGIFINDEX, ptr(request.bytes)) !== 0) {
    throw new NoSuchLink(name);
  }
  return request.union.getInt32(0, true);
}

/** Whether a link with this index is in the namespace of a socket; needs no lock of the kernel. */
export function isListed(socket: number, index: number): boolean {
  const request = createIfreq("");
  if (request === null) return false;
  request.union.setInt32(0, index, true);
  return libc().ioctl(socket, SIOCGIFNAME, ptr(request.bytes)) === 0;
}
