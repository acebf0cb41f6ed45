/** struct ifreq: the name (IFNAMSIZ, 16 bytes), then a union whose largest member has 24 (include/uapi/linux/if.h). */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** A struct ifreq, and the view of its union. */
export interface Ifreq {
  readonly bytes: Uint8Array;
  readonly union: DataView;
}

/** One for a link's name, which may be empty; null when no link can have that name. */
export function createIfreq(name: string): Ifreq | null {
  const text = new TextEncoder().encode(name);
  if (text.length >= NAME_BYTES) return null;
  const bytes = new Uint8Array(new ArrayBuffer(IFREQ_BYTES));
  bytes.set(text);
  return { bytes, union: new DataView(bytes.buffer, NAME_BYTES) };
}
