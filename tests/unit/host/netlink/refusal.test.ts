import { describe, expect, test } from "bun:test";
import { describeErrno, forEachRefusal, readRefusal } from "../../../../src/host/netlink/refusal.ts";
import { createPage, type Page } from "../../../../src/host/netlink/socket.ts";
import { golden } from "./golden.ts";

const view = (text: string) => {
  const bytes = Uint8Array.from(Buffer.from(golden(text), "hex"));
  return { bytes, view: new DataView(bytes.buffer) };
};

function read(text: string) {
  const { bytes, view: shown } = view(text);
  return readRefusal(shown, 0, bytes.length);
}

/** "No." with its closing zero, as NLMSGERR_ATTR_MSG; NLMSGERR_ATTR_OFFS before it. */
const WORDS = "0800 0200 10000000  0800 0100 4e6f2e00";

describe("an answer of the kernel", () => {
  test("with errno 0 is no refusal", () => {
    expect(
      read("24000000 0200 0001 07000000 00000000 00000000 14000000 1000 0500 07000000 00000000"),
    ).toBeNull();
  });

  test("without words has those of its error number", () => {
    // The header of the request alone comes back (NLM_F_CAPPED).
    expect(
      read("24000000 0200 0001 07000000 00000000 efffffff 14000000 1000 0500 07000000 00000000"),
    ).toEqual({ errno: 17, message: "RTNETLINK answers: File exists" });
  });

  test("with words has both, on one line; capped, they stand behind the header of the request", () => {
    expect(
      read(`34000000 0200 0003 07000000 00000000 efffffff 14000000 1000 0500 07000000 00000000 ${WORDS}`),
    ).toEqual({ errno: 17, message: "Error: No (File exists)" });
  });

  test("not capped, the words stand behind the whole request, filled up to four", () => {
    expect(
      read(`
        3c000000 0200 0002 07000000 00000000 eaffffff
        15000000 1000 0500 07000000 00000000 ffffffff 08 000000 // a request of 21 bytes
        ${WORDS}
      `),
    ).toEqual({ errno: 22, message: "Error: No (Invalid argument)" });
  });

  test("says nothing of its own where its attributes are cut, empty or others", () => {
    const head = "07000000 00000000 eaffffff 14000000 1000 0500 07000000 00000000";
    for (const rest of ["", "0000 0000", "0800 0200 10000000", "0400 0100", "0800 0100"]) {
      expect(read(`00000000 0200 0003 ${head} ${rest}`)).toMatchObject({ errno: 22 });
    }
    expect(read(`00000000 0200 0003 ${head} 0000 0000`)?.message).toBe("RTNETLINK answers: Invalid argument");
  });

  test("of an error without a name is told by its number", () => {
    expect(describeErrno(4711)).toBe("error 4711");
    expect(describeErrno(95)).toBe("Operation not supported");
  });
});

describe("all answers", () => {
  /** An NLMSG_ERROR with only the request's header. */
  const answer = (sequence: number, errno: number) => {
    const bytes = new Uint8Array(36);
    const shown = new DataView(bytes.buffer);
    shown.setUint32(0, 36, true);
    shown.setUint16(4, 2, true);
    shown.setUint16(6, 0x100, true);
    shown.setUint32(8, sequence, true);
    shown.setInt32(16, -errno, true);
    return bytes;
  };
  const socketOf = (datagrams: readonly (readonly Uint8Array[])[]) => {
    const left = [...datagrams];
    return {
      left,
      receive: ({ bytes }: Page) => {
        const datagram = Buffer.concat(left.shift() ?? []);
        if (datagram.length === 0) throw new Error("nothing more comes");
        bytes.set(datagram);
        return datagram.length;
      },
    };
  };
  const told = (datagrams: readonly (readonly Uint8Array[])[], last: number) => {
    const found: string[] = [];
    const socket = socketOf(datagrams);
    forEachRefusal(socket, createPage(), last, (sequence, message, errno) =>
      found.push(`${sequence} ${errno} ${message}`),
    );
    return { found, left: socket.left.length };
  };

  test("are read up to that of the last message, over datagrams, whether it went well or not", () => {
    const datagrams = [[answer(1, 17), answer(3, 22)], [answer(4, 19)], [answer(9, 0)], [answer(10, 1)]];
    const found = [
      "1 17 RTNETLINK answers: File exists",
      "3 22 RTNETLINK answers: Invalid argument",
      "4 19 RTNETLINK answers: No such device",
    ];
    expect(told(datagrams, 9)).toEqual({ found, left: 1 });
    expect(told(datagrams, 4)).toEqual({ found, left: 2 });
  });

  test("that are no answers are passed over", () => {
    const other = answer(9, 1);
    new DataView(other.buffer).setUint16(4, 16, true);
    expect(told([[other], [answer(9, 1)]], 9).found).toEqual([
      "9 1 RTNETLINK answers: Operation not permitted",
    ]);
  });
});
