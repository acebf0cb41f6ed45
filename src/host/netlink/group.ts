import type { Until } from "../batch.ts";
import { HostError } from "../errors.ts";
import { ENODEV, IFLA, RTM, writeIfinfo } from "./kernel.ts";
import { dumpInto } from "./message.ts";
import { askIndex, NoSuchLink } from "./names.ts";
import { forEachRefusal } from "./refusal.ts";
import type { NetlinkSocket, Page } from "./socket.ts";
import { type MessageWriter, NLM_F_ACK } from "./writer.ts";

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
 * one that can't be removed. The refusals are in order. The thread must be in the socket's namespace.
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
    const before = listLinks();
    if (indexesIn(before, group).length > 0) continue;
    const { refused, indexes } = gather(names, group, until, socket, writer, page);
    const talk: Talk = { names, group, before, indexes, until, socket, writer, page };
    if (indexes.size > 0) {
      const isOurs = membersOf(group).every((index) => indexes.has(index));
      if (!isOurs) {
        // Whoever else is in it meanwhile is not ours to remove.
        for (const index of indexes.keys()) leaveGroup(index, talk);
        continue;
      }
      refused.push(...deleteGroup(talk));
    }
    refused.sort((a, b) => a.at - b.at);
    return until === "first" ? refused.slice(0, 1) : refused;
  }
  throw new HostError(
    "no link group is free",
    "see `ip -details link show`: another program uses groups at random",
  );
}

/** What the removal of a group is about. */
interface Talk {
  readonly names: readonly string[];
  readonly group: number;
  readonly before: ReadonlyMap<number, ListedLink>;
  /** The links that are there, with their places among the names, in order. */
  readonly indexes: ReadonlyMap<number, number>;
  readonly until: Until;
  readonly socket: NetlinkSocket;
  readonly writer: MessageWriter;
  readonly page: Page;
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
      // Named twice: it is gone when its second turn comes.
      if (indexes.has(index)) throw new NoSuchLink(name);
      writer.begin(RTM.newLink, 0, at + 1);
      writeIfinfo(writer, index);
      writer.attributeU32(IFLA.group, group);
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

/**
 * Removes the group. One by one, in order, should one of them be of a kind that can't be removed, or go by itself with
 * another one (the other end of a pair), which is to be told of it as if it had come alone.
 */
function deleteGroup(talk: Talk): RefusedDeletion[] {
  const { names, group, before, indexes, until } = talk;
  const isPaired = [...indexes.keys()].some((index) => indexes.has(before.get(index)?.lower ?? 0));
  if (!isPaired && isRemoved(0, talk, (writer) => writer.attributeU32(IFLA.group, group))) return [];
  const refused: RefusedDeletion[] = [];
  for (const [index, at] of indexes) {
    if (until === "first" && refused.length > 0) {
      leaveGroup(index, talk);
      continue;
    }
    const { errno, message } = remove(index, talk);
    if (errno === ENODEV && isPaired) {
      refused.push({ at, message: new NoSuchLink(names[at] ?? "").message });
    } else if (errno !== 0 && errno !== ENODEV) {
      leaveGroup(index, talk);
      refused.push({ at, message });
    }
  }
  return refused;
}

function isRemoved(index: number, talk: Talk, writeMore: (writer: MessageWriter) => void): boolean {
  const { errno } = remove(index, talk, writeMore);
  return errno === 0 || errno === ENODEV;
}

/** RTM_DELLINK; errno 0: done. */
function remove(
  index: number,
  talk: Talk,
  writeMore: (writer: MessageWriter) => void = () => undefined,
): Answer {
  return exchange(RTM.delLink, index, writeMore, talk);
}

/** What the kernel said; errno 0: done. */
interface Answer {
  readonly errno: number;
  readonly message: string;
}

/** Sends one message about a link, by its index (0: by what `writeMore` adds), and waits for the answer. */
function exchange(
  type: number,
  index: number,
  writeMore: (writer: MessageWriter) => void,
  { socket, writer, page }: Pick<Talk, "socket" | "writer" | "page">,
): Answer {
  let answer: Answer = { errno: 0, message: "" };
  writer.reset();
  writer.begin(type, NLM_F_ACK, 1);
  writeIfinfo(writer, index);
  writeMore(writer);
  writer.end();
  socket.send(writer.written);
  writer.reset();
  forEachRefusal(socket, page, 1, (_sequence, message, errno) => {
    answer = { errno, message };
  });
  return answer;
}

/** A link that stays goes back to the group that it was in. */
function leaveGroup(index: number, { before, socket, writer, page }: Talk): void {
  putIntoGroup(index, before.get(index)?.group ?? 0, socket, writer, page);
}

/** Puts a link into a group, if it is still there. */
export function putIntoGroup(
  index: number,
  group: number,
  socket: NetlinkSocket,
  writer: MessageWriter,
  page: Page,
): void {
  exchange(RTM.newLink, index, () => writer.attributeU32(IFLA.group, group), { socket, writer, page });
}

/** What a removal has to know of a link; `lower`: index of the link of this namespace that it hangs on, or 0. */
interface ListedLink {
  readonly group: number;
  readonly lower: number;
}

/** Indexes of the links in a group, in the namespace of this thread. */
export function membersOf(group: number): number[] {
  return indexesIn(listLinks(), group);
}

function indexesIn(links: ReadonlyMap<number, ListedLink>, group: number): number[] {
  return [...links].flatMap(([index, link]) => (link.group === group ? [index] : []));
}

function listLinks(): Map<number, ListedLink> {
  const query = {
    type: RTM.getLink,
    answer: RTM.newLink,
    fixed: new Uint8Array(IFINFO_BYTES),
    attributes: [],
  };
  return dumpInto(
    query,
    () => new Map<number, ListedLink>(),
    (found, { halves, words }, body, end) => {
      let [group, lower, isElsewhere] = [0, 0, false];
      for (let at = body + IFINFO_BYTES; at + 4 <= end; ) {
        const size = halves[at >> 1] ?? 0;
        if (size < 4) break;
        const type = halves[(at + 2) >> 1];
        if (type === IFLA.group) group = words[(at + 4) >> 2] ?? 0;
        else if (type === IFLA.link) lower = words[(at + 4) >> 2] ?? 0;
        else if (type === IFLA.linkNetnsid) isElsewhere = true;
        at += (size + 3) & ~3;
      }
      found.set((words[(body + 4) >> 2] ?? 0) | 0, { group, lower: isElsewhere ? 0 : lower });
    },
  );
}
