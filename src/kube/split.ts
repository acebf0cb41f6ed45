const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const NEWLINE = 0x0a;

/** No Node is near this: etcd refuses objects over 1.5 MB. */
export const MAX_ITEM_BYTES = 4 << 20;
/** What stands around the items of a list: kind, apiVersion, metadata. */
const MAX_REST_BYTES = 64 << 10;

/** Bytes of one text, kept over the ends of chunks. */
function collect(what: string, maxBytes: number) {
  const decoder = new TextDecoder();
  let parts: Uint8Array[] = [];
  let size = 0;
  /** How many of the parts are copies. */
  let kept = 0;
  return {
    add: (bytes: Uint8Array) => {
      size += bytes.length;
      if (size > maxBytes) throw new SyntaxError(`${what} is longer than ${maxBytes} bytes`);
      if (bytes.length > 0) parts.push(bytes);
    },
    /** Parts that outlive the chunk they lie in are copied, for whoever fills that chunk again. */
    keep: () => {
      for (; kept < parts.length; kept++) parts[kept] = parts[kept]?.slice() ?? new Uint8Array();
    },
    text: () => decoder.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts)),
    size: () => size,
    clear: () => {
      parts = [];
      size = 0;
      kept = 0;
    },
  };
}

/** Takes a JSON list apart while it comes. */
export interface ListSplitter {
  /** The next bytes. Throws SyntaxError when one item is beyond all measure, or there are two `items`. */
  readonly push: (chunk: Uint8Array) => void;
  /**
   * At the end of the bytes: the document without its items, as JSON text. Throws SyntaxError when the document is not
   * whole or has no array `items`.
   */
  readonly finish: () => string;
}

/**
 * Splits a document `{…, "items": […], …}`: `onItem` is given each element as its JSON text (not checked: it may be
 * anything between two commas), the rest comes at the end. Holds one item at a time. Strings are jumped over by
 * Uint8Array.indexOf, which is twice as fast as looking at each byte.
 */
export function splitList(onItem: (text: string) => void): ListSplitter {
  const rest = collect("what is around the items", MAX_REST_BYTES);
  const item = collect("an item", MAX_ITEM_BYTES);
  let depth = 0;
  let inString = false;
  /** The chunk before ended with an odd number of backslashes in a string. */
  let isEscaped = false;
  /** Inside the array `items`, which lies at depth 2. */
  let inItems = false;
  let wasThere = false;
  let hasComma = false;

  const endItem = (isLast: boolean) => {
    const text = item.size() === 0 ? "" : item.text();
    item.clear();
    // Blank and alone: the array is empty. Blank among others is for the reader of the item to refuse.
    if (isLast && !hasComma && /^[ \t\r\n]*$/.test(text)) return;
    onItem(text);
  };

  const push = (chunk: Uint8Array) => {
    let start = 0;
    let at = 0;
    const take = (end: number) => {
      (inItems ? item : rest).add(chunk.subarray(start, end));
      start = end;
    };
    while (at < chunk.length) {
      if (inString) {
        const from = isEscaped ? at + 1 : at;
        isEscaped = false;
        const end = endOfString(chunk, from);
        if (end < 0) {
          isEscaped = from <= chunk.length && countBackslashes(chunk, chunk.length, from) % 2 === 1;
          break;
        }
        inString = false;
        at = end + 1;
        continue;
      }
      const byte = chunk[at];
      if (byte === QUOTE) inString = true;
      else if (byte === COMMA) {
        if (inItems && depth === 2) {
          take(at);
          start = at + 1;
          hasComma = true;
          endItem(false);
        }
      } else if (byte === OPEN_BRACE) depth++;
      else if (byte === OPEN_BRACKET) {
        depth++;
        if (depth === 2 && !inItems) {
          take(at + 1);
          if (/[{,\s]"items"\s*:\s*\[$/.test(rest.text())) {
            if (wasThere) throw new SyntaxError("the list has items twice");
            inItems = true;
            wasThere = true;
          }
        }
      } else if (byte === CLOSE_BRACE) depth--;
      else if (byte === CLOSE_BRACKET) {
        if (inItems && depth === 2) {
          take(at);
          endItem(true);
          inItems = false;
        }
        depth--;
      }
      at++;
    }
    take(chunk.length);
    rest.keep();
    item.keep();
  };

  const finish = () => {
    if (rest.size() === 0) throw new SyntaxError("it is empty");
    if (depth !== 0 || inString) throw new SyntaxError("it ends in the middle");
    const text = rest.text();
    JSON.parse(text);
    if (!wasThere) throw new SyntaxError("items: expected an array");
    return text;
  };
  return { push, finish };
}

/** The index of the quote that ends a string whose text starts at `from`; −1 when it is not in this chunk. */
function endOfString(chunk: Uint8Array, from: number): number {
  let end = chunk.indexOf(QUOTE, from);
  while (end > from && chunk[end - 1] === BACKSLASH && countBackslashes(chunk, end, from) % 2 === 1) {
    end = chunk.indexOf(QUOTE, end + 1);
  }
  return end;
}

/** How many backslashes stand just before `end`, not looking beyond `from`. */
function countBackslashes(chunk: Uint8Array, end: number, from: number): number {
  let at = end;
  while (at > from && chunk[at - 1] === BACKSLASH) at--;
  return end - at;
}

/** Takes a stream of lines apart while it comes. */
export interface LineSplitter {
  /** The next bytes. Throws SyntaxError when a line is beyond all measure. */
  readonly push: (chunk: Uint8Array) => void;
  /** Bytes of a line that has no end yet: above 0 at the end of the stream, it was cut. */
  readonly pendingBytes: () => number;
}

/** Splits a watch: one JSON text a line. Blank lines are left out. */
export function splitLines(onLine: (text: string) => void): LineSplitter {
  const line = collect("a line", MAX_ITEM_BYTES);
  return {
    push: (chunk) => {
      let start = 0;
      for (;;) {
        const end = chunk.indexOf(NEWLINE, start);
        line.add(chunk.subarray(start, end < 0 ? chunk.length : end));
        if (end < 0) break;
        const text = line.size() === 0 ? "" : line.text();
        line.clear();
        if (text.trim() !== "") onLine(text);
        start = end + 1;
      }
      line.keep();
    },
    pendingBytes: line.size,
  };
}
