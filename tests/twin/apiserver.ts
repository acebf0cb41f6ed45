import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { makeCertificates } from "./apiserver-certificates.ts";
import {
  type Misbehaviour,
  type OpenWatch,
  type SeenRequest,
  sendStatus,
  serveList,
  servePatch,
  serveWatch,
  type Verb,
} from "./apiserver-serve.ts";
import { openStore, type RawNode } from "./apiserver-store.ts";

export type { Misbehaviour, SeenRequest } from "./apiserver-serve.ts";
export type { RawNode } from "./apiserver-store.ts";

/** How a twin server is to be. */
export interface ApiServerOptions {
  /** Address to listen on; 127.0.0.1 unless given. */
  readonly host?: string;
  /** 0, any free one, unless given. */
  readonly port?: number;
  readonly nodes?: readonly RawNode[];
  /** What else is answered, by path. */
  readonly others?: Readonly<Record<string, unknown>>;
  /** Names and addresses in its certificate; what it listens on, and the loopback, unless given. */
  readonly certificateFor?: readonly string[];
}

/** Why a watch ends. */
export type WatchEnd = "end" | "mid-line" | "reset";

/**
 * A Kubernetes API server that knows Nodes only: TLS with its own CA, tokens and client certificates, list in pages,
 * watch with bookmarks and 410, patches of node conditions; and it misbehaves when told so.
 *
 * By node:https, because Bun.serve holds back the headers of an answer until its first byte comes, and a watch may be
 * silent for long.
 */
export async function startApiServer(options: ApiServerOptions = {}) {
  const host = options.host ?? "127.0.0.1";
  const folder = mkdtempSync(`${tmpdir()}/minicni-apiserver-`);
  const hosts = options.certificateFor ?? [...new Set([host, "127.0.0.1", "::1", "localhost"])];
  const files = makeCertificates(`${folder}/pki`, hosts);
  const tokenFile = `${folder}/token`;
  let token = "token-1";
  writeFileSync(tokenFile, token);
  // As kubelet mounts it: token and ca.crt in one folder.
  writeFileSync(`${folder}/ca.crt`, readFileSync(files.caFile));
  const store = openStore();
  for (const node of options.nodes ?? []) store.upsert(node);
  const faults: { misbehaviour: Misbehaviour; left: number }[] = [];
  const watches = new Set<OpenWatch>();
  const sockets = new Set<Socket>();
  const requests: SeenRequest[] = [];
  const patches: { readonly node: string; readonly body: string; readonly contentType: string }[] = [];

  const takeFault = (verb: Verb): Misbehaviour => {
    const index = faults.findIndex(({ misbehaviour }) => (misbehaviour.on ?? verb) === verb);
    const fault = faults[index];
    if (fault === undefined) return {};
    if (--fault.left <= 0) faults.splice(index, 1);
    return fault.misbehaviour;
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "https://twin");
    const query = url.searchParams;
    const verb = request.method === "PATCH" ? "patch" : query.get("watch") === "true" ? "watch" : "list";
    const authorization = request.headers.authorization ?? null;
    const hasClientCertificate = "authorized" in request.socket && request.socket.authorized === true;
    requests.push({
      verb,
      method: request.method ?? "",
      path: url.pathname,
      query,
      authorization,
      hasClientCertificate,
    });
    const fault = takeFault(verb);
    if (fault.hang === true) return;
    if (fault.delayMs !== undefined) await Bun.sleep(fault.delayMs);
    if (authorization !== `Bearer ${token}` && !hasClientCertificate) {
      sendStatus(response, 401, "Unauthorized");
    } else if (fault.status !== undefined) {
      sendStatus(response, fault.status, fault.message ?? "as told", fault.retryAfterS);
    } else if (fault.text !== undefined) {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(fault.text);
    } else if (verb === "patch") {
      const name = /^\/api\/v1\/nodes\/([^/]+)\/status$/.exec(url.pathname)?.[1] ?? "";
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = Buffer.concat(chunks).toString();
      patches.push({ node: name, body, contentType: request.headers["content-type"] ?? "" });
      servePatch(store, decodeURIComponent(name), body, response);
    } else if (options.others?.[url.pathname] !== undefined) {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify(options.others[url.pathname]));
    } else if (url.pathname !== "/api/v1/nodes") sendStatus(response, 404, "the server could not find it");
    else if (verb === "list") serveList(store, query, response, fault.cutAfterBytes);
    else serveWatch(store, query, request, response, watches);
  };

  const server = createServer(
    {
      cert: readFileSync(files.certFile),
      key: readFileSync(files.keyFile),
      ca: readFileSync(files.caFile),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => void serve(request, response),
  );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, host, () => resolve(portOf(server.address())));
  });
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const sendAll = (text: string) => {
    for (const watch of [...watches]) watch.write(text);
  };

  return {
    url,
    host,
    port,
    /** Holds everything below, and `token` and `ca.crt` like a mounted ServiceAccount. */
    folder,
    caFile: files.caFile,
    tokenFile,
    /** The environment of a pod in this cluster. */
    env: { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: `${port}` },
    requests,
    patches,
    /** Writes a kubeconfig for this server; `user` and `cluster` add to or replace its fields. */
    kubeconfigPath: (
      by: "token" | "certificate" | "none" = "token",
      user: Readonly<Record<string, unknown>> = {},
      cluster: Readonly<Record<string, unknown>> = {},
    ): string => {
      const path = `${folder}/kubeconfig-${requests.length}-${Math.random().toString(36).slice(2)}`;
      const certificate = { "client-certificate": files.clientCertFile, "client-key": files.clientKeyFile };
      const proof = by === "token" ? { token } : by === "certificate" ? certificate : {};
      const config = {
        apiVersion: "v1",
        kind: "Config",
        clusters: [
          { name: "twin", cluster: { server: url, "certificate-authority": files.caFile, ...cluster } },
        ],
        users: [{ name: "agent", user: { ...proof, ...user } }],
        contexts: [{ name: "twin", context: { cluster: "twin", user: "agent" } }],
        "current-context": "twin",
      };
      writeFileSync(path, JSON.stringify(config, null, 2));
      return path;
    },
    upsert: store.upsert,
    remove: store.remove,
    nodes: store.all,
    /** From now on only this token is believed; `writeFile` false leaves the old one in the file for now. */
    rotateToken: (next: string, writeFile = true): void => {
      token = next;
      if (writeFile) writeFileSync(tokenFile, next);
    },
    /** Older versions and continue tokens are gone (410). */
    compact: store.compact,
    /** Lets versions run ahead and tells open watches of it. */
    bookmark: (): void => {
      store.advance();
      const metadata = { resourceVersion: `${store.version()}` };
      sendAll(
        `${JSON.stringify({ type: "BOOKMARK", object: { kind: "Node", apiVersion: "v1", metadata } })}\n`,
      );
    },
    behave: (misbehaviour: Misbehaviour): void => {
      faults.push({ misbehaviour, left: misbehaviour.times ?? 1 });
    },
    /** Forgets every misbehaviour that is left. */
    behaveWell: (): void => {
      faults.length = 0;
    },
    /** Sends any text to all open watches. */
    send: sendAll,
    openWatches: () => watches.size,
    cutWatches: (how: WatchEnd): void => {
      for (const watch of [...watches]) {
        if (how === "mid-line") watch.write('{"type":"MODIFIED","object":{"metadata":{"na');
        if (how === "reset") watch.reset();
        else watch.end();
      }
    },
    stop: (): void => {
      server.close();
      for (const socket of sockets) socket.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A running twin server. */
export type ApiServer = Awaited<ReturnType<typeof startApiServer>>;

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}
