import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { patchNodeCondition } from "../../src/kube/condition.ts";
import { openConnection } from "../../src/kube/connection.ts";
import { watchNodeApi } from "../../src/kube/watch.ts";
import { type Certificates, makeCertificates } from "../twin/apiserver-certificates.ts";
import { eventually, HASTE, openRecorder, rawNode } from "../unit/kube/recorder.ts";

// The real API server, by the convention of envtest (sigs.k8s.io/controller-runtime/tools/setup-envtest).
const ASSETS = process.env.KUBEBUILDER_ASSETS ?? "";
const isThere = ["etcd", "kube-apiserver"].every((name) => ASSETS !== "" && existsSync(`${ASSETS}/${name}`));
const skipped = isThere ? "" : " (skipped: KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver)";

const folder = mkdtempSync(`${tmpdir()}/minicni-envtest-`);
const children: Bun.Subprocess[] = [];
let url = "";
let files: Certificates;

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

const start = (name: string, args: readonly string[]) =>
  children.push(
    Bun.spawn([`${ASSETS}/${name}`, ...args], {
      stdout: "ignore",
      stderr: Bun.file(`${folder}/${name}.log`),
    }),
  );

async function ask(
  method: string,
  path: string,
  body?: object,
  contentType = "application/json",
): Promise<number> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { Authorization: "Bearer admin-token", "Content-Type": contentType },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    tls: { ca: await Bun.file(files.caFile).text() },
  });
  await response.text();
  return response.status;
}

async function startCluster(): Promise<void> {
  files = makeCertificates(`${folder}/pki`, ["127.0.0.1"]);
  const [client, peer, secure] = [await freePort(), await freePort(), await freePort()];
  const etcd = `http://127.0.0.1:${client}`;
  const own = `http://127.0.0.1:${peer}`;
  start("etcd", [
    `--data-dir=${folder}/etcd`,
    "--unsafe-no-fsync",
    `--listen-client-urls=${etcd}`,
    `--advertise-client-urls=${etcd}`,
    `--listen-peer-urls=${own}`,
    `--initial-advertise-peer-urls=${own}`,
    `--initial-cluster=default=${own}`,
  ]);
  writeFileSync(`${folder}/tokens.csv`, 'admin-token,admin,1,"system:masters"\nagent-token,agent,2\n');
  const publicKey = Bun.spawnSync(["openssl", "pkey", "-in", files.keyFile, "-pubout"]).stdout;
  writeFileSync(`${folder}/sa.pub`, publicKey);
  start("kube-apiserver", [
    `--etcd-servers=${etcd}`,
    "--bind-address=127.0.0.1",
    `--secure-port=${secure}`,
    `--tls-cert-file=${files.certFile}`,
    `--tls-private-key-file=${files.keyFile}`,
    `--token-auth-file=${folder}/tokens.csv`,
    "--authorization-mode=RBAC",
    "--service-cluster-ip-range=10.96.0.0/24",
    "--service-account-issuer=https://localhost",
    `--service-account-key-file=${folder}/sa.pub`,
    `--service-account-signing-key-file=${files.keyFile}`,
    "--disable-admission-plugins=ServiceAccount",
  ]);
  url = `https://127.0.0.1:${secure}`;
  for (let tries = 0; ; tries++) {
    const status = await ask("GET", "/readyz").catch(() => 0);
    if (status === 200) return;
    if (tries > 300) throw new Error(`kube-apiserver is not ready: ${status}`);
    await Bun.sleep(200);
  }
}

const addNode = async (n: number): Promise<void> => {
  const { metadata, spec, status } = rawNode(n);
  expect(await ask("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata, spec })).toBe(201);
  const path = `/api/v1/nodes/${metadata.name}/status`;
  expect(await ask("PATCH", path, { status }, "application/strategic-merge-patch+json")).toBe(200);
};

async function allow(): Promise<void> {
  const group = "rbac.authorization.k8s.io";
  const rules = [
    { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
    { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
  ];
  const path = `/apis/${group}/v1`;
  const metadata = { name: "agent" };
  await ask("POST", `${path}/clusterroles`, { metadata, rules });
  const subjects = [{ kind: "User", name: "agent", apiGroup: group }];
  const roleRef = { kind: "ClusterRole", name: "agent", apiGroup: group };
  await ask("POST", `${path}/clusterrolebindings`, { metadata, subjects, roleRef });
}

beforeAll(async () => {
  if (isThere) await startCluster();
}, 120_000);

afterAll(() => {
  for (const child of children.reverse()) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

test.skipIf(!isThere)(
  `a real API server is listed, watched and told of the node's network${skipped}`,
  async () => {
    writeFileSync(`${folder}/token`, "agent-token");
    writeFileSync(`${folder}/ca.crt`, await Bun.file(files.caFile).text());
    const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: new URL(url).port };
    const connection = openConnection({ kubeconfig: null, env, serviceAccountDir: folder });
    for (const n of [1, 2, 3]) await addNode(n);
    const heard = openRecorder();
    const source = watchNodeApi(connection, heard, { ...HASTE, pageSize: 2, self: "node-1" });
    try {
      await eventually("403", () => heard.states.at(-1)?.includes('cannot list resource "nodes"') === true);
      await allow();
      await eventually("three Nodes", () => heard.names()?.length === 3);
      await addNode(4);
      await eventually("a fourth", () => heard.names()?.includes("node-4") === true);
      await ask("DELETE", "/api/v1/nodes/node-2");
      await eventually("no second", () => heard.names()?.includes("node-2") === false);
      const condition = { unavailable: false, reason: "MinicniIsUp", message: "as tested" };
      expect(await patchNodeCondition(connection, "node-1", condition)).toBeNull();
      await eventually("the condition", () => heard.own.at(-1) === false);
      expect(heard.names()).toEqual(["node-1", "node-3", "node-4"]);
    } finally {
      source.close();
    }
  },
  120_000,
);
