/** Sends so many datagrams within the namespace, no two of one connection: `bun conntrack-fill-main.ts COUNT`. */
const count = Number(process.argv[2]);
const PORTS = 60_000;
const socket = await Bun.udpSocket({ hostname: "127.0.0.1", socket: { error: () => undefined } });
for (let sent = 0; sent < count; ) {
  const address = `127.0.1.${1 + Math.floor(sent / PORTS)}`;
  if (socket.send("x", 1_000 + (sent % PORTS), address)) sent++;
  else await Bun.sleep(1);
}
socket.close();

export {};
