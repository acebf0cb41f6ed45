import type { Deadline } from "./deadline.ts";

/** More than any runtime sends: a GC list of 100,000 attachments has 10 MB. */
const MAX_BYTES = 32 * 1024 * 1024;

/** Standard input; one of the two may be called, once. */
export interface Stdin {
  /** All of it, as text. Throws OverdueError when it does not end within the deadline, RangeError when it is too long. */
  read(deadline: Deadline): Promise<string>;
  /** What is there within so many milliseconds, at most one chunk; null when nothing is. Never throws. */
  peek(milliseconds: number): Promise<string | null>;
}

/** The standard input of this process. */
export function openStdin(): Stdin {
  return { read: readAll, peek: readFirst };
}

async function readAll(deadline: Deadline): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = Bun.stdin.stream().getReader();
  for (;;) {
    const next = await Promise.race([reader.read(), over(deadline)]);
    if (next === null) {
      deadline.check("reading stdin (who started us has not closed it)");
      continue;
    }
    if (next.done) return Buffer.concat(chunks).toString();
    length += next.value.length;
    if (length > MAX_BYTES) throw new RangeError(`stdin has more than ${MAX_BYTES} bytes`);
    chunks.push(next.value);
  }
}

/** Resolves to null once the deadline is over or the call is interrupted. */
function over(deadline: Deadline): Promise<null> {
  return new Promise((resolve) => {
    deadline.onInterrupt(() => resolve(null));
    setTimeout(() => resolve(null), Math.min(deadline.left() + 1, 2 ** 31 - 1));
  });
}

async function readFirst(milliseconds: number): Promise<string | null> {
  try {
    const first = Bun.stdin.stream().getReader().read();
    const next = await Promise.race([first, Bun.sleep(milliseconds)]);
    return next?.value === undefined ? null : Buffer.from(next.value).toString();
  } catch {
    return null;
  }
}
