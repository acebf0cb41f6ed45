/** A field's value: text or an encoded message, or a number as a varint. */
export type Field = string | number | Uint8Array;
/** A message as it came: every value of every field number. */
export type Message = ReadonlyMap<number, readonly (number | Uint8Array)[]>;

const VARINT = 0;
const LENGTH = 2;
const FIXED_SIZES: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/** Writes a protobuf message, field by field; a repeated field is one entry a value. */
export function encode(...fields: readonly (readonly [number: number, value: Field])[]): Uint8Array {
  const bytes: number[] = [];
  for (const [number, value] of fields) {
    bytes.push(...varint(number * 8 + (typeof value === "number" ? VARINT : LENGTH)));
    if (typeof value === "number") {
      bytes.push(...varint(value));
      continue;
    }
    const content = typeof value === "string" ? new TextEncoder().encode(value) : value;
    bytes.push(...varint(content.length), ...content);
  }
  return Uint8Array.from(bytes);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}

/** Reads a protobuf message; numbers of fixed size are passed over. */
export function decode(bytes: Uint8Array): Message {
  const message = new Map<number, (number | Uint8Array)[]>();
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    const values = message.get(number) ?? [];
    message.set(number, values);
    if (tag % 8 === VARINT) values.push(readVarint());
    else if (tag % 8 === LENGTH) {
      const length = readVarint();
      values.push(bytes.subarray(at, at + length));
      at += length;
    } else at += FIXED_SIZES[tag % 8] ?? bytes.length;
  }
  return message;
}

/** Every value of a repeated field of messages. */
export function messages(message: Message, number: number): Message[] {
  return (message.get(number) ?? []).flatMap((value) => (typeof value === "number" ? [] : [decode(value)]));
}

/** A field's text; empty when it is absent, as protobuf has it. */
export function text(message: Message | undefined, number: number): string {
  const value = message?.get(number)?.[0];
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : "";
}

/** A field's number; 0 when it is absent, as protobuf has it. */
export function integer(message: Message | undefined, number: number): number {
  const value = message?.get(number)?.[0];
  return typeof value === "number" ? value : 0;
}
