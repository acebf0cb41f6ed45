import { open, stat } from "node:fs/promises";
import { readList } from "./list-reader.ts";
import { openNodeTable } from "./node-table.ts";
import type { NodeListener, NodeSource } from "./source.ts";
import { tellOwn, untilAborted } from "./tell.ts";

/** All of it is optional; the defaults are what an agent wants. */
export interface NodeFileOptions {
  /** Name of the own Node, for its NetworkUnavailable condition. */
  readonly self?: string;
  /** How often the file is looked at; below 10 s, so that every look is a heartbeat in time. */
  readonly pollMs?: number;
}

/** The type bits of st_mode, and the value of a regular file (inode(7): S_IFMT, S_IFREG). */
const FILE_TYPE = 0o170000n;
const REGULAR_FILE = 0o100000n;
const CHUNK_BYTES = 256 << 10;
/**
 * How often each state of the file is read. Twice, because a file's mtime moves in steps of a timer tick (4 ms): a write
 * of the same length just after the first reading could otherwise be missed for ever.
 */
const READINGS = 2;

/**
 * Watches a NodeList file by looking at its mtime, size and inode, which sees what inotify on a path does not: a
 * ConfigMap's change of symlinks, a rename, a folder that goes and comes back. A file that is missing, empty, cut or no
 * NodeList is told as a state, and the last good snapshot stays in force.
 */
export function watchNodeFile(
  path: string,
  told: NodeListener,
  { self, pollMs = 1000 }: NodeFileOptions = {},
): NodeSource {
  const controller = new AbortController();
  const { signal } = controller;
  const listener = untilAborted(told, signal);
  const table = openNodeTable(self ?? null);
  const own = tellOwn(listener);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastSeen = "";
  let readings = 0;
  let hasList = false;

  const read = async (): Promise<void> => {
    const draft = table.begin();
    await readInto(
      path,
      (value, index) => {
        const problem = draft.add(value);
        if (problem !== null) throw new SyntaxError(`items.${index}.${problem}`);
      },
      listener.beat,
    );
    if (signal.aborted) return;
    const isChanged = draft.take();
    listener.count(hasList ? "relist" : "list");
    own(table.own());
    if (isChanged || !hasList) listener.snapshot(table.snapshot());
    hasList = true;
    listener.state(null);
  };

  const look = async (): Promise<void> => {
    listener.beat();
    try {
      const before = lastSeen;
      // A file that went and came back may look the same; what was told in between must be taken back.
      lastSeen = "";
      lastSeen = await signatureOf(path);
      if (lastSeen !== before) readings = 0;
      if (readings >= READINGS) return;
      readings++;
      await read();
    } catch (error) {
      listener.count("error");
      listener.state(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };

  const loop = async (): Promise<void> => {
    await look();
    if (!signal.aborted) timer = setTimeout(loop, pollMs);
  };
  timer = setTimeout(loop, 0);
  return {
    close: () => {
      controller.abort();
      clearTimeout(timer);
    },
  };
}

/** Changes whenever the file does. */
async function signatureOf(path: string): Promise<string> {
  const { mtimeNs, size, ino, dev, mode } = await stat(path, { bigint: true });
  // Reading a FIFO or a device could block, and never end.
  if ((mode & FILE_TYPE) !== REGULAR_FILE) throw new SyntaxError("it is not a regular file");
  return [mtimeNs, size, ino, dev].join(":");
}

/** Reads the file in pieces. Throws what reading throws, and SyntaxError when it is no NodeList. */
async function readInto(
  path: string,
  onItem: (value: unknown, index: number) => void,
  onChunk: () => void,
): Promise<void> {
  const reader = readList(onItem);
  const file = await open(path, "r");
  try {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      reader.push(buffer.subarray(0, bytesRead));
      onChunk();
    }
  } finally {
    await file.close();
  }
  reader.finish();
}
