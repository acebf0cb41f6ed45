import { isatty, WriteStream } from "node:tty";

/** What an output of ours is. */
export interface Terminal {
  readonly isTerminal: boolean;
  /** Characters a line; null: no terminal, or one that does not say. */
  readonly columns: number | null;
}

/** What standard output (1) or standard error (2) of this process leads to. Costs 15 ms: off the CNI path. */
export function observeTerminal(descriptor: 1 | 2): Terminal {
  if (!isatty(descriptor)) return { isTerminal: false, columns: null };
  const { columns } = new WriteStream(descriptor);
  return { isTerminal: true, columns: columns > 0 ? columns : null };
}
