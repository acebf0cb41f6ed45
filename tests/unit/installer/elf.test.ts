import { describe, expect, test } from "bun:test";
import { type Elf, parseElf } from "../../../installer/elf.ts";

const LOADER = "/lib/ld.so";
const NAMES = ["libc.so.6", "libm.so.6"];

/** A 64-bit ELF file of one loaded segment at 0x1000 that is the whole file, with a loader and two libraries. */
function makeElf(machine: number): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  view.setUint16(18, machine, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const segment = (index: number, type: number, offset: number, size: number) => {
    const at = 64 + index * 56;
    view.setUint32(at, type, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, BigInt(0x1000 + offset), true);
    view.setBigUint64(at + 32, BigInt(size), true);
  };
  segment(0, 3, 300, 64);
  segment(1, 1, 0, 1024);
  segment(2, 2, 400, 4 * 16);
  const text = (offset: number, value: string) => bytes.set(new TextEncoder().encode(value), offset);
  text(300, LOADER);
  text(601, NAMES[0] ?? "");
  text(620, NAMES[1] ?? "");
  const entries = [
    [1, 1],
    [1, 20],
    [5, 0x1000 + 600],
    [0, 0],
  ];
  for (const [index, [tag = 0, value = 0]] of entries.entries()) {
    view.setBigUint64(400 + index * 16, BigInt(tag), true);
    view.setBigUint64(408 + index * 16, BigInt(value), true);
  }
  return bytes;
}

describe("parseElf", () => {
  test.each([
    [62, "amd64"],
    [183, "arm64"],
  ] as const)("reads machine %d, the loader and the libraries", (number, machine) => {
    const wanted: Elf = { machine, interpreter: LOADER, needed: NAMES };
    expect(parseElf(makeElf(number))).toEqual(wanted);
  });

  test("says of a script and of an empty file that they are no ELF files", () => {
    expect(parseElf(new TextEncoder().encode(`#!/bin/sh\n${"#".repeat(100)}`))).toBeNull();
    expect(parseElf(new Uint8Array())).toBeNull();
  });

  test("refuses a machine that no image is built for", () => {
    expect(() => parseElf(makeElf(243))).toThrow("243");
  });
});
