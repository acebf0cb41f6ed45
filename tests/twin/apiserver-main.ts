import { readFileSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import { type RawNode, startApiServer } from "./apiserver.ts";

/**
 * A twin server as a process of its own, for a network namespace:
 * `bun tests/twin/apiserver-main.ts --host 10.0.0.1 --port 6443 --nodes nodelist.json`. It serves what is in the file,
 * follows its changes, and writes one line of JSON: {url, folder, caFile, tokenFile, kubeconfig}. SIGTERM ends it.
 */
const { values } = parseArgs({
  options: { host: { type: "string" }, port: { type: "string" }, nodes: { type: "string" } },
});
const file = values.nodes;
const server = await startApiServer({
  ...(values.host === undefined ? {} : { host: values.host }),
  port: Number(values.port ?? "0"),
});
const texts = new Map<string, string>();
let seen = "";

function follow(path: string): void {
  const { mtimeMs, size, ino } = statSync(path);
  const now = `${mtimeMs}:${size}:${ino}`;
  if (now === seen) return;
  const list: { items: RawNode[] } = JSON.parse(readFileSync(path, "utf8"));
  seen = now;
  const names = new Set(list.items.map(({ metadata }) => metadata.name));
  for (const name of texts.keys()) {
    if (names.has(name)) continue;
    texts.delete(name);
    server.remove(name);
  }
  for (const node of list.items) {
    const text = JSON.stringify(node);
    if (texts.get(node.metadata.name) === text) continue;
    texts.set(node.metadata.name, text);
    server.upsert(node);
  }
}

if (file !== undefined) {
  follow(file);
  setInterval(() => {
    try {
      follow(file);
    } catch {
      // Half written: the next look finds it whole.
    }
  }, 200);
}
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.on(name, () => {
    server.stop();
    process.exit(0);
  });
}
const { url, folder, caFile, tokenFile } = server;
process.stdout.write(
  `${JSON.stringify({ url, folder, caFile, tokenFile, kubeconfig: server.kubeconfigPath() })}\n`,
);
