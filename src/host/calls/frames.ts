/** What the launcher and the agent say to each other (docs/agent.md "Calls"); the launcher is installer/launcher/. */
const MAGIC = 0x494e434d; // "MCNI", little endian
/** Both speak it, or the launcher does without the agent. */
export const PROTOCOL_VERSION = 1;
/** Bytes of a request before its environment. */
export const HEADER_BYTES = 64;
export const TOKEN_BYTES = 16;
const ANSWER_BYTES = 12;
/** As the launcher: what is larger goes to the full binary. */
export const MAX_ENVIRONMENT_BYTES = 64 * 1024;
export const MAX_STDIN_BYTES = 1024 * 1024;
const FLAG_DESCRIPTOR = 1;

/** Device and inode of a namespace file, as `Host.namespaceId` writes them. */
export interface Namespaces {
  readonly net: string;
  readonly mnt: string;
}

/** The head of a request. */
export interface Head {
  /** Hexadecimal; the datagram with the descriptor has the same. */
  readonly token: string;
  /** A descriptor was sent. */
  readonly hasDescriptor: boolean;
  /** Where the launcher runs. */
  readonly namespaces: Namespaces;
  readonly environmentBytes: number;
  readonly stdinBytes: number;
}

/** What the agent says when a launcher comes; `status` other than 0: go elsewhere. */
export function formatHello(status: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, PROTOCOL_VERSION, true);
  view.setUint16(6, status, true);
  return bytes;
}

/** A result: exit code and what goes to stdout. Null: the call is declined, and nothing was done for it. */
export function formatAnswer(
  result: { readonly exitCode: number; readonly stdout: string } | null,
): Uint8Array {
  const body = new TextEncoder().encode(result?.stdout ?? "");
  const bytes = new Uint8Array(ANSWER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, (result === null ? "D" : "R").charCodeAt(0));
  view.setUint8(5, result?.exitCode ?? 0);
  view.setUint32(8, body.length, true);
  bytes.set(body, ANSWER_BYTES);
  return bytes;
}

/** Reads the head of a request, HEADER_BYTES long. Null when it is none of this version, or too large. */
export function parseHead(bytes: Uint8Array): Head | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) return null;
  if (view.getUint16(4, true) !== PROTOCOL_VERSION) return null;
  const environmentBytes = view.getUint32(56, true);
  const stdinBytes = view.getUint32(60, true);
  if (environmentBytes > MAX_ENVIRONMENT_BYTES || stdinBytes > MAX_STDIN_BYTES) return null;
  const namespace = (at: number) => `${view.getBigUint64(at, true)}:${view.getBigUint64(at + 8, true)}`;
  return {
    token: formatToken(bytes.subarray(8, 8 + TOKEN_BYTES)),
    hasDescriptor: (view.getUint16(6, true) & FLAG_DESCRIPTOR) !== 0,
    namespaces: { net: namespace(24), mnt: namespace(40) },
    environmentBytes,
    stdinBytes,
  };
}

/** A token as text. */
export function formatToken(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Variables by name, from `KEY=VALUE` with a zero byte each. */
export function parseEnvironmentBlock(bytes: Uint8Array): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const pair of Buffer.from(bytes).toString().split("\0")) {
    const at = pair.indexOf("=");
    if (at > 0) variables[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return variables;
}
