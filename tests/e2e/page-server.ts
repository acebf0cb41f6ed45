import { answerPage } from "../../src/entry/agent/page/answer.ts";
import { serveHttp } from "../../src/host/serve.ts";
import { parseAddress } from "../../src/net/address.ts";
import { examplePool } from "../unit/entry/agent/page-stage.ts";

const servers: { close(): void }[] = [];

/** For afterAll. */
export function closePages(): void {
  for (const server of servers) server.close();
}

/** The page of an agent that says this; returns its address. */
export function serve(
  status: () => string,
  pool: () => string = () => JSON.stringify(examplePool()),
): string {
  const listen = { host: parseAddress("127.0.0.1"), port: 0 };
  const server = serveHttp(listen, answerPage(listen, { status, pool }));
  servers.push(server);
  return `http://127.0.0.1:${server.port}/`;
}
