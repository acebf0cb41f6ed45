import { expect, test } from "bun:test";
import { receiveAnswers } from "../../../../src/host/netlink/message.ts";
import type { Page } from "../../../../src/host/netlink/socket.ts";

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const EINTR = 4;
const EPERM = 1;

interface Sent {
  readonly type: number;
  readonly flags?: number;
  readonly payload: number;
}

/** A socket that gives these messages: 16 bytes of header and 4 of payload each, struct nlmsghdr. */
function socketOf(...messages: readonly Sent[]) {
  return {
    receive: ({ view }: Page) => {
      for (const [index, { type, flags = 0, payload }] of messages.entries()) {
        view.setUint32(index * 20, 20, true);
        view.setUint16(index * 20 + 4, type, true);
        view.setUint16(index * 20 + 6, flags, true);
        view.setInt32(index * 20 + 16, payload, true);
      }
      return messages.length * 20;
    },
  };
}

const LINK: Sent = { type: 16, payload: 7 };

function received(...messages: readonly Sent[]) {
  const errors: number[] = [];
  const answers = receiveAnswers(socketOf(...messages), undefined, (errno) => errors.push(errno));
  return [answers?.length ?? null, errors];
}

test("a dump that ends well gives what it gave", () => {
  expect(received(LINK, LINK, { type: NLMSG_DONE, payload: 0 })).toEqual([2, []]);
});

test.each([
  [
    "a mark on a message",
    [
      { ...LINK, flags: NLM_F_DUMP_INTR },
      { type: NLMSG_DONE, payload: 0 },
    ],
  ],
  ["EINTR at its end", [LINK, { type: NLMSG_DONE, payload: -EINTR }]],
  ["EINTR in place of it", [{ type: NLMSG_ERROR, payload: -EINTR }]],
])("of a dump that was cut short nothing is concluded: %s", (_what, messages) => {
  expect(received(...messages)).toEqual([null, []]);
});

test("an error is told, at the end of a dump as well", () => {
  expect(received(LINK, { type: NLMSG_DONE, payload: -EPERM })).toEqual([1, [EPERM]]);
  expect(received({ type: NLMSG_ERROR, payload: -EPERM })).toEqual([0, [EPERM]]);
});
