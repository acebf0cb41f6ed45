import type { Until } from "../batch.ts";
import { HostError } from "../errors.ts";
import { RTM, writeIfinfo } from "./kernel.ts";
import { dumpInto } from "./message.ts";
import { askIndex, NoSuchLink } from "./names.ts";
import { forEachRefusal } from "./refusal.ts";
import type { NetlinkSocket, Page } from "./socket.ts";
import { type MessageWriter, NLM_F_ACK } from "./writer.ts";

const IFLA_GROUP = 27;
const IFINFO_BYTES = 16;
/** Groups are of nobody; ours begin with the number that marks our routes, the rest is drawn for each removal. */
const MARK = 157 << 24;
const DRAWN = 1 << 24;
const ATTEMPTS = 3;
/** Links that one datagram puts into a group; see run.ts for the limit. */
const CHUNK = 128;

/** A link that could not be removed: its place among the names. */
export interface RefusedDeletion {
  readonly at: number;
  readonly message: string;
}

/**
 * Removes links in one transaction of the kernel: each alone would wait for an RCU grace period of its own
 * (synchronize_net in unregister_netdevice_many of net/core/dev.c), a group waits once. `first`: those before the first
 * one that can't be removed. The thread must be in the socket's namespace.
 */
export function deleteTogether(
  names: readonly string[],
  until: Until,
  socket: NetlinkSocket,
  writer: MessageWriter,
  page: Page,
): RefusedDeletion[] {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const group = newGroup();
    if (membersOf(group).length > 0) continue;
    const { refused, indexes } = gather(names, group, until, socket, writer, page);
    if (indexes.size === 0) return refused;
    // Whoever else is in it meanwhile is not ours to remove.
    if (membersOf(group).some((index) => !indexes.has(index))) continue;
    return [...refused, ...deleteGroup(group, indexes, socket, writer, page)];
  }
  throw new HostError(
    "no link group is free",
    "see `ip -details link show`: another program uses groups at random",
  );
}

/** A number for a group, which may be in use: see {@link membersOf}. */
export function newGroup(): number {
  return (MARK | Math.floor(Math.random() * DRAWN)) >>> 0;
}

/** Puts the links into the group; `indexes`: those that are there, with their places among the names. */
export function gather(
  names: readonly string[],
  group: number,
  until: Until,
  socket: NetlinkSocket,
  writer: MessageWriter,
  page: Page,
): { readonly refused: RefusedDeletion[]; readonly indexes: ReadonlyMap<number, number> } {
  const refused: RefusedDeletion[] = [];
  const indexes = new Map<number, number>();
  writer.reset();
  let pending = 0;
  const flush = () => {
    if (pending === 0) return;
    writer.acknowledge();
    socket.send(writer.written);
    writer.reset();
    forEachRefusal(socket, page, pending, (sequence, message) => refused.push({ at: sequence - 1, message }));
    pending = 0;
  };
  for (const [at, name] of names.entries()) {
    try {
      const index = askIndex(socket.fd, name);
      writer.begin(RTM.newLink, 0, at + 1);
      writeIfinfo(writer, index);
      writer.attributeU32(IFLA_GROUP, group);
      writer.end();
      indexes.set(index, at);
      pending = at + 1;
    } catch (error) {
      if (!(error instanceof NoSuchLink)) throw error;
      refused.push({ at, message: error.message });
    }
    if (indexes.size % CHUNK === 0 || until === "first") flush();
    if (until === "first" && refused.length > 0) break;
  }
  flush();
  return { refused, indexes };
}

/** ENODEV: it went by itself meanwhile, with its pod's namespace. */
const GONE = 19;

/** Removes the group; should one of them be of a kind that can't be removed, each of the others by itself. */
function deleteGroup(
  group: number,
  indexes: ReadonlyMap<number, number>,
  socket: NetlinkSocket,
  writer: MessageWriter,
  page: Page,
): RefusedDeletion[] {
  const remove = (index: number, writeMore: () => void): string => {
    let refusal = "";
    writer.reset();
    writer.begin(RTM.delLink, NLM_F_ACK, 1);
    writeIfinfo(writer, index);
    writeMore();
    writer.end();
    socket.send(writer.written);
    writer.reset();
    forEachRefusal(socket, page, 1, (_sequence, message, errno) => {
      if (errno !== GONE) refusal = message;
    });
    return refusal;
  };
  if (remove(0, () => writer.attributeU32(IFLA_GROUP, group)) === "") return [];
  return [...indexes].flatMap(([index, at]) => {
    const message = remove(index, () => undefined);
    return message === "" ? [] : [{ at, message }];
  });
}

/** Indexes of the links in a group, in the namespace of this thread. */
export function membersOf(group: number): number[] {
  const query = {
    type: RTM.getLink,
    answer: RTM.newLink,
    fixed: new Uint8Array(IFINFO_BYTES),
    attributes: [],
  };
  return dumpInto(
    query,
    () => [] as number[],
    (found, { halves, words }, body, end) => {
      for (let at = body + IFINFO_BYTES; at + 4 <= end; ) {
        const size = halves[at >> 1] ?? 0;
        if (size < 4) break;
        if (halves[(at + 2) >> 1] === IFLA_GROUP && words[(at + 4) >> 2] === group) {
          found.push((words[(body + 4) >> 2] ?? 0) | 0);
        }
        at += (size + 3) & ~3;
      }
    },
  );
}
