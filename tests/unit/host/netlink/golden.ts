import { type MessageOperation, type Names, writeOperation } from "../../../../src/host/netlink/encode.ts";
import { NoSuchLink } from "../../../../src/host/netlink/names.ts";
import { MessageWriter } from "../../../../src/host/netlink/writer.ts";

/** Bytes that a test writes as hex, with comments behind `//`. */
export function golden(text: string): string {
  return text.replace(/\/\/.*$/gm, "").replace(/\s+/g, "");
}

/** Bytes as {@link golden} gives them. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

const INDEXES = new Map([
  ["v0", 2],
  ["br0", 0x103],
]);
/** Two links, and one namespace. */
export const NAMES: Names = {
  index: (name) => {
    const index = INDEXES.get(name);
    if (index === undefined) throw new NoSuchLink(name);
    return index;
  },
  netns: () => 9,
};
export const MAC = "0a:58:0a:00:00:02";

/** One operation as a message, in hex. */
export function encoded(operation: MessageOperation, flags?: number): string {
  const writer = new MessageWriter();
  writeOperation(writer, operation, NAMES, 7, flags);
  return hex(writer.written);
}
