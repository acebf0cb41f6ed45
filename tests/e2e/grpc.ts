import { connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { decode, type Message } from "./protobuf.ts";

const TIMEOUT_MS = 20_000;
const HEADER_BYTES = 5;

/** One unary gRPC call over a Unix socket. Throws what the service answered when its status is not 0. */
export async function call(socket: string, path: string, request: Uint8Array): Promise<Message> {
  const session = connect("http://localhost", { createConnection: () => connectSocket(socket) });
  try {
    return await new Promise<Message>((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const chunks: Buffer[] = [];
      let status: Record<string, unknown> = {};
      // A refusal without a message comes with its status in the headers.
      stream.on("response", (headers) => {
        status = { ...status, ...headers };
      });
      stream.on("trailers", (headers) => {
        status = { ...status, ...headers };
      });
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.setTimeout(TIMEOUT_MS, () => reject(new Error(`${path}: no answer within ${TIMEOUT_MS} ms`)));
      stream.on("end", () => {
        if (status["grpc-status"] === "0") resolve(decode(Buffer.concat(chunks).subarray(HEADER_BYTES)));
        else reject(new Error(`${path}: ${decodeURIComponent(String(status["grpc-message"]))}`));
      });
      const header = Buffer.alloc(HEADER_BYTES); // not compressed, and the length
      header.writeUInt32BE(request.length, 1);
      stream.end(Buffer.concat([header, request]));
    });
  } finally {
    session.destroy();
  }
}
