import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { patchNodeCondition } from "../../../src/kube/condition.ts";
import { openConnection } from "../../../src/kube/connection.ts";
import { type ApiServer, startApiServer } from "../../twin/apiserver.ts";
import { rawNode } from "./recorder.ts";

let server: ApiServer;
beforeAll(async () => {
  server = await startApiServer({ nodes: [rawNode(1)] });
});
afterAll(() => server.stop());

const inCluster = (env: Record<string, string> = server.env, dir = server.folder) =>
  openConnection({ kubeconfig: null, env, serviceAccountDir: dir });
const byFile = (kubeconfig: string) => openConnection({ kubeconfig, env: {} });
const CONDITION = { unavailable: false, reason: "MinicniIsUp", message: "routes are programmed" };

describe("a connection in a cluster", () => {
  test("has the mounted token and CA", async () => {
    expect(await inCluster().access()).toEqual({
      server: server.url,
      headers: { Authorization: "Bearer token-1" },
      tls: { ca: readFileSync(server.caFile, "utf8").trim() },
    });
  });

  test("puts an IPv6 address into brackets", async () => {
    const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
    expect((await inCluster(env).access()).server).toBe("https://[fd00::1]:443");
  });

  test("reads the token again after renew, and not before", async () => {
    const folder = server.folder;
    const connection = inCluster();
    await connection.access();
    writeFileSync(`${folder}/token`, "token-9\n");
    expect((await connection.access()).headers).toEqual({ Authorization: "Bearer token-1" });
    connection.renew();
    expect((await connection.access()).headers).toEqual({ Authorization: "Bearer token-9" });
    writeFileSync(`${folder}/token`, "token-1");
  });

  test("says what is missing", async () => {
    await expect(inCluster({}).access()).rejects.toThrow(
      "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
    );
    await expect(inCluster(server.env, "/nowhere").access()).rejects.toThrow(
      /\/nowhere\/token.*automountServiceAccountToken/,
    );
  });
});

describe("a connection by kubeconfig", () => {
  test.each([
    ["a token", () => server.kubeconfigPath("token")],
    ["a client certificate", () => server.kubeconfigPath("certificate")],
    ["a tokenFile", () => server.kubeconfigPath("none", { tokenFile: server.tokenFile })],
    ["a tokenFile beside it", () => server.kubeconfigPath("none", { tokenFile: "token" })],
    [
      "data instead of files",
      () => {
        const data = readFileSync(server.caFile).toString("base64");
        return server.kubeconfigPath(
          "token",
          {},
          { "certificate-authority": null, "certificate-authority-data": data },
        );
      },
    ],
    ["an exec plugin", () => server.kubeconfigPath("none", { exec: plugin('"token": "token-1"') })],
    [
      "another name than the address",
      () => server.kubeconfigPath("token", {}, { "tls-server-name": "localhost" }),
    ],
  ])("proves itself by %s", async (_what, path) => {
    expect(await patchNodeCondition(byFile(path()), "node-1", CONDITION)).toBeNull();
  });

  /** A plugin that answers only when it was told the API version, and lies beside the kubeconfig. */
  function plugin(status: string) {
    const script = `#!/bin/sh\ncase "$KUBERNETES_EXEC_INFO" in *client.authentication.k8s.io/v1*) ;; *) exit 3;; esac\necho '{"kind":"ExecCredential","status":{${status}}}'\n`;
    writeFileSync(`${server.folder}/plugin`, script);
    chmodSync(`${server.folder}/plugin`, 0o755);
    return { apiVersion: "client.authentication.k8s.io/v1", command: "./plugin" };
  }

  test("passes basic auth and impersonation on", async () => {
    const path = server.kubeconfigPath("none", { username: "a", password: "b", as: "c" });
    expect((await byFile(path).access()).headers).toEqual({
      Authorization: `Basic ${btoa("a:b")}`,
      "Impersonate-User": "c",
    });
  });

  test.each([
    [
      "insecure-skip-tls-verify",
      {},
      { "insecure-skip-tls-verify": true },
      "insecure-skip-tls-verify is refused",
    ],
    ["a server without TLS", {}, { server: "http://127.0.0.1:8080" }, "its server is no https:// address"],
    ["a SOCKS proxy", {}, { "proxy-url": "socks5://127.0.0.1:1" }, "its proxy-url is not supported"],
    ["a plugin that is not there", { exec: { command: "/nowhere/plugin" } }, {}, "/nowhere/plugin"],
    ["a CA that is not there", {}, { "certificate-authority": "/nowhere/ca" }, "/nowhere/ca"],
    ["an empty tokenFile", { tokenFile: "/dev/null" }, {}, "/dev/null is empty"],
  ])("refuses %s", async (_what, user, cluster, message) => {
    const path = server.kubeconfigPath("none", user, cluster);
    await expect(byFile(path).access()).rejects.toThrow(message);
    await expect(byFile(path).access()).rejects.toThrow(`kubeconfig ${path}: `);
  });

  test.each([
    ["missing", null, "ENOENT"],
    ["empty", "", ""],
    ["no YAML", "{[", ""],
    ["without context", "apiVersion: v1\nkind: Config\n", "its current-context names no cluster"],
  ])("says what is wrong with a file that is %s", async (_what, text, message) => {
    const path = `${server.folder}/odd`;
    if (text !== null) writeFileSync(path, text);
    await expect(byFile(text === null ? "/nowhere/config" : path).access()).rejects.toThrow(message);
  });
});

describe("patchNodeCondition", () => {
  test("sets NetworkUnavailable and leaves the other conditions alone", async () => {
    server.upsert(rawNode(2, { status: { conditions: [{ type: "Ready", status: "True" }] } }));
    expect(await patchNodeCondition(inCluster(), "node-2", CONDITION)).toBeNull();
    const node = server.nodes().find(({ metadata }) => metadata.name === "node-2");
    expect(node).toMatchObject({
      status: {
        conditions: [
          { type: "Ready", status: "True" },
          {
            type: "NetworkUnavailable",
            status: "False",
            reason: "MinicniIsUp",
            message: "routes are programmed",
            lastTransitionTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
          },
        ],
      },
    });
    expect(server.patches.at(-1)?.contentType).toBe("application/strategic-merge-patch+json");
  });

  test("tells why not, after one more try with a fresh token", async () => {
    expect(await patchNodeCondition(inCluster(), "nobody", CONDITION)).toContain(
      '404 Not Found: nodes "nobody" not found',
    );
    const connection = inCluster();
    await connection.access();
    server.rotateToken("token-2");
    expect(await patchNodeCondition(connection, "node-1", CONDITION)).toBeNull();
    server.rotateToken("token-3", false);
    expect(await patchNodeCondition(connection, "node-1", CONDITION)).toContain("401 Unauthorized");
    server.rotateToken("token-1");
  });
});
