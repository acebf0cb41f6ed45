import type { Address } from "../../net/address.ts";

/** include/uapi/linux/netlink.h. */
const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
const NLA_F_NESTED = 0x8000;
/** Room at the start; it grows as needed. */
const FIRST_BYTES = 4 * 1024;
/** The longest single attribute is an interface alias of 256 bytes; with it a message still fits. */
const MARGIN_BYTES = 1024;

/** Writes netlink messages one behind the other into one buffer, which is used again for the next. */
export class MessageWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #start = 0;
  /** Where the last whole message begins. */
  #last = 0;

  /** What was written since {@link reset}. It is valid until the next write. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Bytes written. */
  get length(): number {
    return this.#at;
  }

  /** Forgets all messages. */
  reset(): void {
    this.#at = 0;
  }

  /** Forgets what was written behind the first `length` bytes: a message that could not be finished. */
  cut(length: number): void {
    this.#at = length;
  }

  /** Asks the kernel to answer the last whole message, although all goes well. */
  acknowledge(): void {
    const at = this.#last + 6;
    this.#view.setUint16(at, this.#view.getUint16(at, true) | NLM_F_ACK, true);
  }

  /** Begins a message (struct nlmsghdr); `flags` beside NLM_F_REQUEST. It is whole behind {@link end}. */
  begin(type: number, flags: number, sequence: number): void {
    this.#reserve(MARGIN_BYTES);
    this.#start = this.#at;
    this.u32(0);
    this.u16(type);
    this.u16(NLM_F_REQUEST | flags);
    this.u32(sequence);
    this.u32(0);
  }

  /** Ends the message: its length is known now. */
  end(): void {
    this.#view.setUint32(this.#start, this.#at - this.#start, true);
    this.#last = this.#start;
    this.#align();
  }

  u8(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  u16(value: number): void {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  /** An attribute without a value of its own in this call: `write` gives it. */
  attribute(type: number, write: () => void): void {
    this.#reserve(MARGIN_BYTES);
    const start = this.#at;
    this.#at += 2;
    this.u16(type);
    write();
    this.#view.setUint16(start, this.#at - start, true);
    this.#align();
  }

  /** An attribute that holds attributes. The flag is what strict parsers (VLANs of ports, next hops) ask for. */
  nested(type: number, write: () => void): void {
    this.attribute(type | NLA_F_NESTED, write);
  }

  attributeU8(type: number, value: number): void {
    this.#head(type, 1);
    this.u8(value);
    this.#align();
  }

  attributeU32(type: number, value: number): void {
    this.#head(type, 4);
    this.u32(value);
  }

  /** Bytes as they are. */
  attributeBytes(type: number, bytes: Uint8Array): void {
    this.#head(type, bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    this.#align();
  }

  /** Text with its closing zero byte. */
  attributeText(type: number, text: string): void {
    this.attributeBytes(type, new TextEncoder().encode(`${text}\0`));
  }

  /** The 4 or 16 bytes of an address, in network order. */
  attributeAddress(type: number, address: Address): void {
    this.#head(type, address.family === 4 ? 4 : 16);
    this.address(address);
  }

  /** The bytes of an address without a head. */
  address({ family, value }: Address): void {
    if (family === 4) {
      this.#view.setUint32(this.#at, Number(value));
      this.#at += 4;
      return;
    }
    this.#view.setBigUint64(this.#at, value >> 64n);
    this.#view.setBigUint64(this.#at + 8, value & 0xffff_ffff_ffff_ffffn);
    this.#at += 16;
  }

  #head(type: number, length: number): void {
    this.#reserve(length + MARGIN_BYTES);
    this.u16(4 + length);
    this.u16(type);
  }

  /** Attributes and messages begin at multiples of four; what is between is zero. */
  #align(): void {
    while ((this.#at & 3) !== 0) this.#bytes[this.#at++] = 0;
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * this.#bytes.length + more);
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
