/**
 * A 64-bit non-cryptographic hash as 16 hex digits, for names that must be short and the same on every call.
 * Two 32-bit FNV-1a passes with different seeds, finished by murmur3's fmix32 (FNV alone avalanches badly).
 */
export function hashHex(text: string): string {
  return half(text, 0x811c9dc5) + half(text, 0x01000193 ^ 0x5bd1e995);
}

function half(text: string, seed: number): string {
  let hash = seed;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0).toString(16).padStart(8, "0");
}
