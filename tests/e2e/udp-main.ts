/**
 * One end of a talk over UDP, until it is killed:
 *
 *   serve NAME PORT                     answers every datagram with NAME and what it said
 *   ask ADDRESS PORT SOURCE_PORT        asks every 100 ms from one socket; prints `asked N` for each question, and
 *                                       `NAME N from ADDRESS` for each answer
 */
import { createSocket, type Socket } from "node:dgram";
import { writeSync } from "node:fs";

const PERIOD_MS = 100;

function open(address: string): Socket {
  const socket = createSocket({ type: address.includes(":") ? "udp6" : "udp4" });
  // Where nobody listens yet, the kernel says so.
  socket.on("error", () => {});
  return socket;
}

function serve(name: string, port: number): void {
  const socket = open("::");
  socket.on("message", (question, from) => socket.send(`${name} ${question}`, from.port, from.address));
  socket.bind(port, "::", () => writeSync(1, "listening\n"));
}

function ask(address: string, port: number, sourcePort: number): void {
  const socket = open(address);
  socket.on("message", (answer, from) => writeSync(1, `${answer} from ${from.address}\n`));
  let asked = 0;
  socket.bind(sourcePort, () => {
    setInterval(() => {
      asked += 1;
      writeSync(1, `asked ${asked}\n`);
      socket.send(`${asked}`, port, address, () => {});
    }, PERIOD_MS);
  });
}

const [mode = "", first = "", second = "", third = ""] = process.argv.slice(2);
if (mode === "serve") serve(first, Number(second));
else if (mode === "ask") ask(first, Number(second), Number(third));
else throw new Error("usage: udp-main.ts serve NAME PORT | ask ADDRESS PORT SOURCE_PORT");
