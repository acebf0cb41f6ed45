import { describe, expect, test } from "bun:test";
import { MessageWriter, NLM_F_ACK } from "../../../../src/host/netlink/writer.ts";
import { address } from "../../../twin/words.ts";
import { golden, hex } from "./golden.ts";

/** One message of 20 bytes. */
function write(writer: MessageWriter, value: number, flags = 0): void {
  writer.begin(16, flags, value);
  writer.u32(value);
  writer.end();
}

const first = "14000000 1000 0100 01000000 00000000 01000000";
const acknowledged = "14000000 1000 0500 01000000 00000000 01000000";
const second = "14000000 1000 0500 02000000 00000000 02000000";

describe("messages", () => {
  test("stand one behind the other, each with its length; what is not a multiple of four is filled up", () => {
    const writer = new MessageWriter();
    writer.begin(24, 0x400, 3);
    writer.attributeU8(1, 0xff);
    writer.attributeText(2, "ab");
    writer.attributeBytes(3, Uint8Array.of(1, 2, 3, 4, 5));
    writer.attributeU32(4, 0x01020304);
    writer.attributeAddress(5, address("10.0.0.1"));
    writer.attributeAddress(6, address("fd00::1"));
    writer.end();
    write(writer, 2, NLM_F_ACK);
    expect(hex(writer.written)).toBe(
      golden(`
        50000000 1800 0104 03000000 00000000 // length, type, flags with NLM_F_REQUEST, sequence, port
        0500 0100 ff 000000                  // its length is that without the filling
        0700 0200 616200 00
        0900 0300 0102030405 000000
        0800 0400 04030201
        0800 0500 0a000001                   // in network order
        1400 0600 fd000000000000000000000000000001
        ${second}
      `),
    );
  });

  test("a message whose end is not at a multiple of four says so, and the next one begins at one", () => {
    const writer = new MessageWriter();
    writer.begin(16, 0, 1);
    writer.u8(7);
    writer.end();
    write(writer, 2, NLM_F_ACK);
    expect(hex(writer.written)).toBe(golden(`11000000 1000 0100 01000000 00000000 07 000000 ${second}`));
  });

  test("nested attributes are marked, and have the length of all in them", () => {
    const writer = new MessageWriter();
    writer.nested(18, () => {
      writer.attributeU8(1, 1);
      writer.attribute(2, () => writer.u16(0x1234));
    });
    expect(hex(writer.written)).toBe(golden("1400 1280 0500 0100 01 000000 0600 0200 3412 0000"));
  });

  test("what is filled up is zero, also where something stood before", () => {
    const writer = new MessageWriter();
    writer.attributeBytes(1, new Uint8Array(64).fill(0xff));
    writer.reset();
    writer.attributeU8(1, 1);
    expect(hex(writer.written)).toBe(golden("0500 0100 01 000000"));
  });
});

describe("what was written", () => {
  test("is forgotten by a reset", () => {
    const writer = new MessageWriter();
    write(writer, 9);
    writer.reset();
    expect(writer.length).toBe(0);
    write(writer, 1);
    expect(hex(writer.written)).toBe(golden(first));
  });

  test("is cut behind a message that could not be finished", () => {
    const writer = new MessageWriter();
    write(writer, 1);
    const before = writer.length;
    writer.begin(24, 0, 2);
    writer.attributeText(1, "half of it");
    writer.cut(before);
    expect(hex(writer.written)).toBe(golden(first));
  });

  test("is answered once asked for: the last message alone", () => {
    const writer = new MessageWriter();
    write(writer, 1);
    write(writer, 2);
    writer.acknowledge();
    expect(hex(writer.written)).toBe(golden(first + second));
  });

  test("is answered once asked for: the last whole message, where another one was cut", () => {
    const writer = new MessageWriter();
    write(writer, 1);
    const before = writer.length;
    writer.begin(24, 0, 2);
    writer.cut(before);
    writer.acknowledge();
    expect(hex(writer.written)).toBe(golden(acknowledged));
  });

  test("stays as it is when more room is needed, within a message and within what is nested", () => {
    const writer = new MessageWriter();
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    for (let sequence = 1; sequence <= 500; sequence++) {
      writer.begin(16, 0, sequence);
      writer.nested(18, () => {
        writer.attributeBytes(20, bytes);
        writer.attributeU32(4, sequence);
      });
      writer.end();
    }
    writer.acknowledge();
    const { written } = writer;
    const size = 16 + 4 + 260 + 8;
    expect(written.length).toBe(500 * size);
    for (let sequence = 1; sequence <= 500; sequence++) {
      const message = written.subarray((sequence - 1) * size, sequence * size);
      const number = Buffer.from(Uint32Array.of(sequence).buffer).toString("hex");
      const flags = sequence === 500 ? "0500" : "0100";
      expect(hex(message)).toBe(
        golden(
          `20010000 1000 ${flags} ${number} 00000000 1001 1280 0401 1400 ${hex(bytes)} 0800 0400 ${number}`,
        ),
      );
    }
  });

  test("may be one attribute that is longer than all the room there was", () => {
    const writer = new MessageWriter();
    const bytes = new Uint8Array(40_000).fill(7);
    writer.begin(16, 0, 1);
    writer.attributeBytes(20, bytes);
    writer.end();
    expect(hex(writer.written)).toBe(
      `549c0000${golden("1000 0100 01000000 00000000 449c 1400")}${hex(bytes)}`,
    );
  });
});
