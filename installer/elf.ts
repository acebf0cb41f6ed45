/** What of an ELF file decides whether a loader finds all it needs. */
export interface Elf {
  readonly machine: "amd64" | "arm64";
  /** Path of the loader; null for a library. */
  readonly interpreter: string | null;
  /** Sonames, as DT_NEEDED lists them. */
  readonly needed: readonly string[];
}

/** e_machine of elf.h. */
const MACHINES: Readonly<Record<number, Elf["machine"]>> = { 62: "amd64", 183: "arm64" };
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DYNAMIC_ENTRY_BYTES = 16;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/**
 * Reads a 64-bit little-endian ELF file (elf(5)) by itself: `ldd` would run it, and a file of another architecture
 * can't run here. Null for what is no ELF file; throws for one of another machine.
 */
export function parseElf(bytes: Uint8Array): Elf | null {
  if (bytes.length < 64 || new TextDecoder().decode(bytes.subarray(1, 4)) !== "ELF" || bytes[0] !== 0x7f)
    return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine = MACHINES[view.getUint16(18, true)];
  if (bytes[4] !== 2 || bytes[5] !== 1 || machine === undefined)
    throw new Error(`an ELF file of a machine no image is built for: e_machine ${view.getUint16(18, true)}`);
  const segments = parseSegments(view);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  return {
    machine,
    interpreter: interpreter === undefined ? null : textAt(bytes, interpreter.offset),
    needed: parseNeeded(bytes, view, segments),
  };
}

function parseSegments(view: DataView): Segment[] {
  const start = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  return Array.from({ length: view.getUint16(56, true) }, (_, index) => {
    const at = start + index * size;
    return {
      type: view.getUint32(at, true),
      offset: Number(view.getBigUint64(at + 8, true)),
      address: Number(view.getBigUint64(at + 16, true)),
      size: Number(view.getBigUint64(at + 32, true)),
    };
  });
}

function parseNeeded(bytes: Uint8Array, view: DataView, segments: readonly Segment[]): string[] {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const names: number[] = [];
  let strings = 0;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += DYNAMIC_ENTRY_BYTES) {
    const tag = Number(view.getBigInt64(at, true));
    const value = Number(view.getBigUint64(at + 8, true));
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) strings = value;
  }
  const home = segments.find(
    ({ type, address, size }) => type === PT_LOAD && address <= strings && strings < address + size,
  );
  if (home === undefined) return [];
  return names.map((name) => textAt(bytes, strings - home.address + home.offset + name));
}

function textAt(bytes: Uint8Array, offset: number): string {
  return new TextDecoder().decode(bytes.subarray(offset, bytes.indexOf(0, offset)));
}
