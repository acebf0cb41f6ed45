import { readFileSync } from "node:fs";

/** AT_PAGESZ of include/uapi/linux/auxvec.h. */
const AT_PAGESZ = 6n;

/** Bytes of a page of memory, from what the kernel handed to this process at its start (getauxval(3)); null: not told. */
export function observePageSize(): number | null {
  const bytes = readFileSync("/proc/self/auxv");
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
  for (let at = 0; at + 1 < words.length; at += 2) {
    if (words[at] === AT_PAGESZ) return Number(words[at + 1]);
  }
  return null;
}
