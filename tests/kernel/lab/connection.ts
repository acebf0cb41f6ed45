import { inNetns } from "../../../src/host/netns.ts";

/** A TCP connection between two namespaces over which numbered lines go and come back all the time. */
export interface Connection {
  /** Lines that came back so far. */
  readonly echoed: () => number;
  /** Whether either side was closed or reset. */
  readonly isBroken: () => boolean;
  close(): void;
}

/** One for each family: a listener on `::` takes IPv4's port as well. */
const PORTS = { 4: 17_160, 6: 17_161 } as const;
const PERIOD_MS = 20;

/** Connects a pod to an address of another one; `client` and `server` are paths of namespaces. */
export async function connectPods(client: string, server: string, address: string): Promise<Connection> {
  let echoed = 0;
  let isBroken = false;
  const broke = () => {
    isBroken = true;
  };
  const family = address.includes(":") ? 6 : 4;
  const [port, hostname] = [PORTS[family], family === 6 ? "::" : "0.0.0.0"];
  const listener = inNetns(server, () =>
    Bun.listen({
      hostname,
      port,
      socket: {
        data: (socket, data) => {
          socket.write(data);
        },
        close: broke,
        error: broke,
      },
    }),
  );
  const socket = await inNetns(client, () =>
    Bun.connect({
      hostname: address,
      port,
      socket: {
        data: (_socket, data) => {
          echoed += data.toString().split("\n").length - 1;
        },
        close: broke,
        error: broke,
      },
    }),
  );
  let sent = 0;
  const timer = setInterval(() => socket.write(`${++sent}\n`), PERIOD_MS);
  return {
    echoed: () => echoed,
    isBroken: () => isBroken,
    close: () => {
      clearInterval(timer);
      socket.end();
      listener.stop(true);
    },
  };
}
