import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Family } from "../net/address.ts";

/** A program that has a UDP port of our namespace. */
export interface PortHolder {
  readonly pid: number;
  /** Of its first thread, 15 characters at most. */
  readonly name: string;
}

/** A UDP socket of a port, of one family. */
export interface UdpSocket {
  readonly family: Family;
  /** Null: the kernel's own (a VXLAN device), or that of a program that can't be seen from here. */
  readonly holder: PortHolder | null;
}

/** The UDP sockets of our namespace that are bound to a port, by /proc/net/udp. Never throws: what can't be read is not there. */
export function observeUdpPort(port: number): UdpSocket[] {
  const found = ([4, 6] as const).flatMap((family) =>
    inodesOf(family, port).map((inode) => ({ family, inode })),
  );
  if (found.length === 0) return [];
  const holders = findHolders(new Set(found.map(({ inode }) => inode)));
  return found.map(({ family, inode }) => ({ family, holder: holders.get(inode) ?? null }));
}

/** Columns: number, local address and port in hex, remote, state, queues, timer, retransmits, uid, timeout, inode. */
function inodesOf(family: Family, port: number): string[] {
  const text = read(`/proc/net/udp${family === 6 ? "6" : ""}`) ?? "";
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const words = line.trim().split(/\s+/);
      return words[1]?.endsWith(`:${wanted}`) === true && words[9] !== undefined ? [words[9]] : [];
    });
}

function findHolders(inodes: ReadonlySet<string>): ReadonlyMap<string, PortHolder> {
  const found = new Map<string, PortHolder>();
  for (const entry of list("/proc")) {
    if (!/^[0-9]+$/.test(entry)) continue;
    for (const descriptor of list(`/proc/${entry}/fd`)) {
      const inode = /^socket:\[([0-9]+)\]$/.exec(follow(`/proc/${entry}/fd/${descriptor}`))?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      found.set(inode, { pid: Number(entry), name: read(`/proc/${entry}/comm`)?.trim() ?? "?" });
    }
  }
  return found;
}

// Processes come and go, and those of others can't be looked at without root.
function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function follow(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
