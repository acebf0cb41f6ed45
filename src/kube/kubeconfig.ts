import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { dirname, isAbsolute, join } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node/dist/config.js";
import * as v from "valibot";
import { type Access, ConnectionFault, readCredential } from "./credential.ts";

/** A plugin that asks a person, or a dead identity provider, must not hold us for ever. */
const EXEC_TIMEOUT_MS = 30_000;

const text = v.nullish(v.string());
const FileSchema = v.object({
  users: v.nullish(v.array(v.object({ name: v.string(), user: v.nullish(v.object({ tokenFile: text })) }))),
});
const ExecSchema = v.looseObject({
  command: v.string(),
  apiVersion: text,
  env: v.nullish(v.array(v.object({ name: v.string(), value: v.string() }))),
});
const Pem = v.nullish(
  v.pipe(
    v.union([v.string(), v.custom<Uint8Array>((value) => value instanceof Uint8Array)]),
    v.transform(pemOf),
  ),
);
const OptionsSchema = v.object({
  ca: Pem,
  cert: Pem,
  key: Pem,
  servername: text,
  auth: text,
  headers: v.nullish(v.record(v.string(), v.string())),
});

function pemOf(pem: string | Uint8Array): string {
  return typeof pem === "string" ? pem : new TextDecoder().decode(pem);
}

/**
 * Reads the current context of a kubeconfig: client certificate, token, tokenFile, exec plugin, basic auth, `as`. The
 * parsing is that of KubeConfig in `@kubernetes/client-node`; only its one file is loaded (+23 MB of memory in the
 * compiled program, 13 ms), and only here. Throws ConnectionFault.
 */
export async function readKubeconfig(path: string): Promise<Access> {
  try {
    return await readContext(path);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ConnectionFault(message.includes(path) ? message : `kubeconfig ${path}: ${message}`);
  }
}

async function readContext(path: string): Promise<Access> {
  const source = await readFile(path, "utf8");
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config: KubeConfig = new KubeConfig();
  config.loadFromString(source);
  config.makePathsAbsolute(dirname(path));
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new ConnectionFault("its current-context names no cluster of it");
  if (!config.getCurrentUser()) throw new ConnectionFault("its current-context names no user of it");
  refuseUnsafe(cluster);
  config.users = config.users.map((user) => ({ ...user, exec: prepareExec(user.exec, dirname(path)) }));
  const options = await readOptions(config);
  const token = await readTokenFile(source, config.getCurrentUser()?.name, dirname(path));
  const basic = options.auth ? `Basic ${Buffer.from(options.auth).toString("base64")}` : null;
  const authorization = token === null ? basic : `Bearer ${token}`;
  return {
    server: cluster.server.replace(/\/+$/, ""),
    headers: { ...options.headers, ...(authorization === null ? {} : { Authorization: authorization }) },
    tls: {
      ...(options.ca ? { ca: options.ca } : {}),
      ...(options.cert ? { cert: options.cert } : {}),
      ...(options.key ? { key: options.key } : {}),
      ...(options.servername ? { serverName: options.servername } : {}),
    },
    ...(cluster.proxyUrl ? { proxy: cluster.proxyUrl } : {}),
  };
}

function refuseUnsafe({
  server,
  skipTLSVerify,
  proxyUrl,
}: {
  server: string;
  skipTLSVerify: boolean;
  proxyUrl?: string;
}) {
  if (skipTLSVerify) {
    throw new ConnectionFault(
      "insecure-skip-tls-verify is refused: whoever is in the way could send this node's traffic anywhere; give certificate-authority or certificate-authority-data",
    );
  }
  if (!URL.canParse(server) || !server.startsWith("https://")) {
    throw new ConnectionFault(`its server is no https:// address: ${server}`);
  }
  if (proxyUrl && !/^https?:\/\//.test(proxyUrl)) {
    throw new ConnectionFault(`its proxy-url is not supported (only http and https): ${proxyUrl}`);
  }
}

async function readOptions(config: KubeConfig): Promise<v.InferOutput<typeof OptionsSchema>> {
  const options: RequestOptions = {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  const overdue = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new ConnectionFault(`the exec plugin gave no credential in ${EXEC_TIMEOUT_MS / 1000} s`)),
      EXEC_TIMEOUT_MS,
    );
  });
  try {
    await Promise.race([config.applyToHTTPSOptions(options), overdue]);
  } finally {
    clearTimeout(timer);
  }
  const parsed = v.safeParse(OptionsSchema, options);
  if (!parsed.success)
    throw new ConnectionFault(`its credentials are odd: ${v.getDotPath(parsed.issues[0])}`);
  return parsed.output;
}

/** What KubeConfig leaves out: paths are relative to the kubeconfig, and plugins want to know which API version to answer. */
function prepareExec(exec: unknown, folder: string): unknown {
  const parsed = v.safeParse(ExecSchema, exec);
  if (!parsed.success) return exec;
  const { command, apiVersion, env } = parsed.output;
  const info = {
    apiVersion: apiVersion ?? "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    spec: { interactive: false },
  };
  return {
    ...parsed.output,
    command: command.includes("/") && !isAbsolute(command) ? join(folder, command) : command,
    env: [...(env ?? []), { name: "KUBERNETES_EXEC_INFO", value: JSON.stringify(info) }],
  };
}

/** `tokenFile`, which KubeConfig does not know; it goes before `token`, as in client-go. Null when there is none. */
async function readTokenFile(
  source: string,
  user: string | undefined,
  folder: string,
): Promise<string | null> {
  const parsed = v.safeParse(FileSchema, Bun.YAML.parse(source));
  if (!parsed.success) return null;
  const file = parsed.output.users?.find(({ name }) => name === user)?.user?.tokenFile;
  if (!file) return null;
  return readCredential(isAbsolute(file) ? file : join(folder, file), "tokenFile of the kubeconfig");
}
