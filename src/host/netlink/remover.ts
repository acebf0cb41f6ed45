import { write } from "node:fs";
import { HostError } from "../errors.ts";
import { gather, membersOf, newGroup, putIntoGroup } from "./group.ts";
import { ENODEV, IFLA, RTM, writeIfinfo } from "./kernel.ts";
import { askIndex, isListed, NoSuchLink } from "./names.ts";
import { forEachRefusal } from "./refusal.ts";
import { type NetlinkSocket, openNetlink, withNetlink, withPage } from "./socket.ts";
import { MessageWriter, NLM_F_ACK } from "./writer.ts";

/** Longest wait for a link to go; it takes a millisecond, and ends by itself. */
const GONE_MS = 20_000;
/** How long the kernel is asked without a pause whether a link is gone. */
const EAGER_MS = 3;

/** Removes links of our namespace; resolves when they are gone. */
export interface LinkRemover {
  /** Rejects with HostError what the kernel says; a link that is not there is an error. */
  remove(name: string): Promise<void>;
}

interface Wish {
  readonly name: string;
  readonly resolve: () => void;
  readonly reject: (error: HostError) => void;
}

/**
 * For a process that serves many calls at once. RTM_DELLINK does not answer before an RCU grace period has gone by behind
 * the removal itself (rcu_barrier in netdev_run_todo of net/core/dev.c: some 15 ms, without the RTNL): a thread of the pool
 * waits for that, while the call goes on as soon as the link is unregistered. Wishes that come meanwhile go down together,
 * in one transaction.
 */
export function createLinkRemover(): LinkRemover {
  let waiting: Wish[] = [];
  let isRunning = false;
  const run = async () => {
    isRunning = true;
    // What else has come in this turn of the event loop goes along.
    await nextTurn();
    while (waiting.length > 0) {
      const wishes = waiting;
      waiting = [];
      await removeAll(wishes);
    }
    isRunning = false;
  };
  return {
    remove: (name) =>
      new Promise((resolve, reject) => {
        waiting.push({ name, resolve, reject });
        if (!isRunning) void run();
      }),
  };
}

/** Never rejects: each wish is told. */
async function removeAll(wishes: readonly Wish[]): Promise<void> {
  try {
    const [first] = wishes;
    if (first === undefined) return;
    if (wishes.length === 1) await removeOne(first);
    else await removeGroup(wishes);
  } catch (error) {
    for (const { reject } of wishes) {
      reject(error instanceof HostError ? error : new HostError(String(error), "see dmesg"));
    }
  }
}

async function removeOne({ name, resolve, reject }: Wish): Promise<void> {
  const index = indexOf(name);
  if (index === null) {
    reject(new HostError(new NoSuchLink(name).message, "it is gone already"));
    return;
  }
  const refusal = await remove([index], (writer) => {
    writeIfinfo(writer, index);
    writer.attributeText(IFLA.ifname, name);
  });
  if (refusal === null) resolve();
  else reject(new HostError(refusal, "run `ip link del` by hand to see more"));
}

async function removeGroup(wishes: readonly Wish[]): Promise<void> {
  const group = newGroup();
  const names = wishes.map(({ name }) => name);
  const { refused, indexes } = withNetlink(0, (socket) =>
    withPage((page) => gather(names, group, "each", socket, new MessageWriter(), page)),
  );
  for (const { at, message } of refused) wishes[at]?.reject(new HostError(message, "it is gone already"));
  // Whoever else is in the group is not ours to remove.
  const isOurs = membersOf(group).every((index) => indexes.has(index));
  const refusal = isOurs
    ? await remove([...indexes.keys()], (writer) => {
        writeIfinfo(writer, 0);
        writer.attributeU32(IFLA.group, group);
      })
    : "";
  const left = [...indexes.values()].flatMap((at) => wishes[at] ?? []);
  if (refusal === null) for (const { resolve } of left) resolve();
  else {
    // One of them is of a kind that can't be removed, and must not stay in a group of ours: each by itself.
    const writer = new MessageWriter();
    withNetlink(0, (socket) =>
      withPage((page) => {
        for (const index of indexes.keys()) putIntoGroup(index, 0, socket, writer, page);
      }),
    );
    for (const wish of left) await removeOne(wish);
  }
}

/**
 * Has a thread of the pool send RTM_DELLINK, and waits until the links are unregistered, or the kernel has said no.
 * Returns its words, or null.
 */
async function remove(
  indexes: readonly number[],
  writeBody: (writer: MessageWriter) => void,
): Promise<string | null> {
  if (indexes.length === 0) return null;
  const writer = new MessageWriter();
  writer.begin(RTM.delLink, NLM_F_ACK, 1);
  writeBody(writer);
  writer.end();
  const socket = openNetlink(0);
  /** Undefined: none yet. */
  const answer: { refusal?: string | null } = {};
  const answered = writeInPool(socket.fd, writer.written.slice())
    .then(() => readAnswer(socket))
    .catch((error) => String(error))
    .then((refusal) => {
      answer.refusal = refusal;
      socket.close();
    });
  const began = performance.now();
  const look = openNetlink(0);
  let isLent = false;
  try {
    for (;;) {
      if (answer.refusal !== undefined) return answer.refusal;
      const elapsed = performance.now() - began;
      if (indexes.every((index) => !isListed(look.fd, index))) break;
      if (elapsed > GONE_MS) return `no end of it after ${GONE_MS} ms`;
      await (elapsed < EAGER_MS ? nextTurn() : Bun.sleep(1));
    }
    // Off the list, it is still being taken from its bridge, under the RTNL: who gets that lock afterwards finds it done.
    isLent = true;
    // Whoever comes first; a thread must not write to a descriptor that has become another file's.
    const fenced = fence(look)
      .catch(() => answered)
      .finally(look.close);
    await Promise.race([answered, fenced]);
    return answer.refusal ?? null;
  } finally {
    if (!isLent) look.close();
  }
}

/** What RTM_DELLINK was answered with; null: done, or gone by itself meanwhile. */
function readAnswer(socket: NetlinkSocket): string | null {
  let refusal: string | null = null;
  withPage((page) =>
    forEachRefusal(socket, page, 1, (_sequence, message, errno) => {
      if (errno !== ENODEV) refusal = message;
    }),
  );
  return refusal;
}

/** Takes and leaves the RTNL, in a thread of the pool, since it may have to wait: RTM_GETLINK of lo. */
async function fence(socket: NetlinkSocket): Promise<void> {
  const writer = new MessageWriter();
  writer.begin(RTM.getLink, 0, 1);
  writeIfinfo(writer, 1);
  writer.end();
  await writeInPool(socket.fd, writer.written.slice());
}

function writeInPool(fd: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => write(fd, bytes, (error) => (error ? reject(error) : resolve())));
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function indexOf(name: string): number | null {
  return withNetlink(0, ({ fd }) => {
    try {
      return askIndex(fd, name);
    } catch (error) {
      if (error instanceof NoSuchLink) return null;
      throw error;
    }
  });
}
