import { inNetns } from "../../src/host/netns.ts";

/** Lets the namespace reach a server of this process under the same address and port. */
export function relay(netns: string, port: number): { stop(): void } {
  const ends = new Set<{ terminate(): void }>();
  const listener = inNetns(netns, () =>
    Bun.listen<{ toServer: Promise<{ write(chunk: Uint8Array): unknown; end(): unknown }> }>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (client) => {
          ends.add(client);
          const toServer = Bun.connect({
            hostname: "127.0.0.1",
            port,
            socket: {
              data: (_server, chunk) => {
                client.write(chunk);
              },
              close: () => {
                client.end();
              },
            },
          });
          toServer.catch(() => client.terminate());
          client.data = { toServer };
        },
        data: (client, chunk) => {
          const copy = chunk.slice();
          client.data.toServer.then((server) => server.write(copy)).catch(() => client.terminate());
        },
        close: (client) => {
          ends.delete(client);
          client.data.toServer.then((server) => server.end()).catch(() => undefined);
        },
      },
    }),
  );
  return {
    stop: () => {
      listener.stop(true);
      for (const end of ends) end.terminate();
    },
  };
}
