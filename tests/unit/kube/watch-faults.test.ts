import { afterEach, describe, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { openConnection } from "../../../src/kube/connection.ts";
import { watchNodeApi } from "../../../src/kube/watch.ts";
import type { Misbehaviour } from "../../twin/apiserver.ts";
import { eventually, HASTE, openRecorder, rawNode } from "./recorder.ts";
import { endScenes, play, type Scene, THREE, watching } from "./scene.ts";

afterEach(endScenes);

const lastFault = ({ heard }: Scene): string => heard.states.findLast((state) => state !== null) ?? "";
/** It still follows: a Node that comes now is heard of. */
const follows = async (scene: Scene): Promise<void> => {
  scene.server.upsert(rawNode(99));
  await eventually("node-99", () => scene.heard.names()?.includes("node-99") === true);
  expect(scene.heard.names()).toEqual(["node-1", "node-2", "node-3", "node-99"]);
};

const BAD: readonly [string, Misbehaviour, string][] = [
  [
    "401",
    { status: 401, message: "Unauthorized" },
    ": 401 Unauthorized: Unauthorized (the token or client certificate",
  ],
  [
    "403",
    { status: 403, message: "nodes is forbidden" },
    ": 403 Forbidden: nodes is forbidden (the agent needs a ClusterRole with list and watch on nodes: `kubectl apply",
  ],
  ["404", { status: 404, message: "no such thing" }, ": 404 Not Found: no such thing"],
  ["429", { status: 429, message: "too many requests" }, ": 429 Too Many Requests: too many requests"],
  [
    "500",
    { status: 500, message: "etcdserver: leader\nchanged" },
    ": 500 Internal Server Error: etcdserver: leader changed",
  ],
  ["a redirect", { status: 302, message: "elsewhere" }, ": 302 Found"],
  ["an empty 200", { text: "" }, ": not a NodeList: it is empty"],
  ["a page of HTML", { text: "<html><body>Log in</body></html>" }, ": not a NodeList: "],
  ["a Status as 200", { text: '{"kind":"Status","code":500}' }, ": not a NodeList: items: expected an array"],
  ["a list of Pods", { text: '{"kind":"PodList","items":[]}' }, ": not a NodeList: kind: expected "],
  ["a list without version", { text: '{"kind":"NodeList","items":[]}' }, ": the list has no resourceVersion"],
  [
    "half a list",
    { text: '{"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[' },
    ": not a NodeList: it ends in the middle",
  ],
  ["a reset within the list", { cutAfterBytes: 200 }, ": "],
  ["an answer too late", { hang: true }, ": no answer for 0.2 s"],
];

describe("watchNodeApi, when the list is answered by", () => {
  test.each(BAD)(
    "%s, tells it, tries again, and has all Nodes in the end",
    async (_what, misbehaviour, line) => {
      const scene = await play(THREE, { headersTimeoutMs: 200 }, (twin) =>
        twin.behave({ on: "list", times: 2, ...misbehaviour }),
      );
      await watching(scene);
      const { server, heard } = scene;
      expect(lastFault(scene)).toContain(`GET ${server.url}/api/v1/nodes${line}`);
      expect(lastFault(scene)).not.toContain("\n");
      expect(heard.counts.get("error")).toBe(2);
      expect(heard.snapshots).toHaveLength(1);
      await follows(scene);
    },
  );
});

describe("watchNodeApi, when a later list is answered by", () => {
  test.each(BAD)("%s, keeps what it knows", async (_what, misbehaviour) => {
    const scene = await play(THREE, { headersTimeoutMs: 200 });
    await watching(scene);
    const { server, heard } = scene;
    server.behave({ on: "list", times: 3, ...misbehaviour });
    server.behave({ on: "watch", status: 503, times: 2 });
    server.cutWatches("reset");
    server.upsert(rawNode(50));
    server.remove("node-50");
    server.compact();
    await eventually("a relist", () => heard.counts.get("relist") === 1);
    for (const { nodes } of heard.snapshots) expect(nodes.length).toBeGreaterThanOrEqual(3);
    await follows(scene);
  });
});

describe("watchNodeApi, when a watch", () => {
  test.each([
    ["is answered by 500", { status: 500 }],
    ["is answered by 403", { status: 403 }],
    ["is answered by 410", { status: 410 }],
    ["is answered by 504 again and again", { status: 504, times: 7 }],
    ["is answered by nothing", { hang: true }],
    ["is empty", { text: "" }],
    ["is no JSON", { text: "<html>\n" }],
    ["is JSON but no event", { text: '[]\n{"type":1}\n' }],
    ["is of an unknown type", { text: '{"type":"RENAMED","object":{}}\n' }],
    ["is an ERROR without Status", { text: '{"type":"ERROR","object":null}\n' }],
    ["is cut in a line", { text: '{"type":"DELETED","object":{"metadata":{"name":"node-1' }],
  ] satisfies [string, Misbehaviour][])("%s, goes on without losing a Node", async (_what, misbehaviour) => {
    const scene = await play(THREE, { headersTimeoutMs: 200 }, (twin) =>
      twin.behave({ on: "watch", ...misbehaviour }),
    );
    await watching(scene);
    await follows(scene);
    for (const { nodes } of scene.heard.snapshots) expect(nodes.length).toBeGreaterThanOrEqual(3);
  });

  test.each(["mid-line", "reset"] as const)("is cut (%s), goes on from the last event", async (how) => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard } = scene;
    server.cutWatches(how);
    server.upsert(rawNode(4));
    await eventually("node-4", () => heard.names()?.length === 4);
    expect(server.requests.filter(({ verb }) => verb === "list")).toHaveLength(1);
    server.remove("node-4");
    await eventually("no node-4", () => heard.names()?.length === 3);
    await follows(scene);
  });

  test("falls silent, is given up after its time", async () => {
    const scene = await play(THREE, { watchSeconds: 1, watchGraceMs: -800 });
    await eventually("a silent watch", () => lastFault(scene).includes("no byte for"));
    await eventually("another watch", () => (scene.heard.counts.get("watch") ?? 0) > 1);
    await follows(scene);
  });

  test("ends at once each time, does not keep the node busy", async () => {
    const scene = await play(THREE, { backoffMinMs: 200, backoffMaxMs: 2000, random: () => 0.99 }, (twin) =>
      twin.behave({ on: "watch", text: "", times: 1000 }),
    );
    await Bun.sleep(1500);
    expect(scene.server.requests.length).toBeGreaterThan(1);
    expect(scene.server.requests.length).toBeLessThan(8);
  });

  test("brings malformed Nodes, names them and keeps the others", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard } = scene;
    server.send(
      '{"type":"ADDED","object":{"metadata":{"name":"odd","resourceVersion":"4"},"spec":{"podCIDRs":7}}}\n',
    );
    server.send('{"type":"MODIFIED","object":{"spec":{}}}\n');
    await eventually("two faults", () => heard.snapshots.at(-1)?.faults.length === 2);
    expect(heard.counts.get("malformed")).toBe(2);
    expect(heard.snapshots.at(-1)?.faults).toEqual([
      { node: "odd", message: "is malformed: spec.podCIDRs: expected Array, got 7" },
      { node: "(no name)", message: expect.stringContaining("metadata: expected ") },
    ]);
    await follows(scene);
  });
});

describe("watchNodeApi", () => {
  test("waits as long as Retry-After says", async () => {
    const startMs = performance.now();
    const scene = await play(THREE, {}, (twin) => twin.behave({ on: "list", status: 429, retryAfterS: 1 }));
    await watching(scene);
    expect(performance.now() - startMs).toBeGreaterThan(1000);
    expect(scene.server.requests.filter(({ verb }) => verb === "list")).toHaveLength(2);
  });

  test("reads its token again once the server does not believe it", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard } = scene;
    server.rotateToken("token-2");
    server.cutWatches("end");
    await eventually(
      "a watch by the new token",
      () => server.requests.at(-1)?.authorization === "Bearer token-2",
    );
    expect(server.requests.filter(({ authorization }) => authorization === "Bearer token-1")).toHaveLength(3);
    expect(heard.counts.get("relist")).toBeUndefined();
    await follows(scene);
  });

  test("has a list with nameless and malformed Nodes", async () => {
    const items = '[{"metadata":{}},{"metadata":{"name":"odd"},"status":[]},{"metadata":{"name":"x"}}]';
    const text = `{"kind":"NodeList","metadata":{"resourceVersion":"1"},"items":${items}}`;
    const { heard } = await play({}, {}, (twin) => twin.behave({ on: "list", text }));
    await eventually("a snapshot", () => heard.snapshots.length === 1);
    expect(heard.snapshots[0]?.faults.map(({ node }) => node)).toEqual(["odd", "x", "(no name)"]);
    expect(heard.counts.get("malformed")).toBe(1);
  });

  test("tells that nobody listens, and finds the server when it comes", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server } = scene;
    const heard = openRecorder();
    const env = { ...server.env, KUBERNETES_SERVICE_PORT: "1" };
    const source = watchNodeApi(
      openConnection({ kubeconfig: null, env, serviceAccountDir: server.folder }),
      heard,
      HASTE,
    );
    await eventually("some errors", () => (heard.counts.get("error") ?? 0) > 3);
    source.close();
    expect(heard.snapshots).toEqual([]);
    expect(heard.states.at(-1)).toStartWith(
      "GET https://127.0.0.1:1/api/v1/nodes: ECONNREFUSED: Unable to connect. (is the API server running, and is this its address and port?; KUBERNETES_SERVICE_HOST is 127.0.0.1: where that is the Service `kubernetes`, it leads nowhere before kube-proxy runs",
    );
  });

  test("refuses a server of another CA, and one of another name", async () => {
    const other = await play({ certificateFor: ["example.org"] });
    await eventually("an error", () => lastFault(other) !== "");
    expect(lastFault(other)).toContain("the server's certificate is not for this address");
    const { server } = await play(THREE);
    const connection = openConnection({
      kubeconfig: server.kubeconfigPath("token", {}, { "certificate-authority": other.server.caFile }),
      env: {},
    });
    const heard = openRecorder();
    const source = watchNodeApi(connection, heard, HASTE);
    await eventually("an error", () => heard.states.length > 0);
    source.close();
    expect(heard.states.at(-1)).toContain("not signed by the CA that we were given");
    expect(server.requests.some(({ authorization }) => authorization === null)).toBe(false);
    expect(heard.snapshots).toEqual([]);
  });

  test("goes by a kubeconfig with another CA as soon as it is written", async () => {
    const other = await play({});
    const { server } = await play(THREE);
    const path = server.kubeconfigPath("token", {}, { "certificate-authority": other.server.caFile });
    const heard = openRecorder();
    const source = watchNodeApi(openConnection({ kubeconfig: path, env: {} }), heard, HASTE);
    await eventually("an error", () => heard.states.length > 0);
    copyFileSync(server.kubeconfigPath("token"), path);
    await eventually("a snapshot", () => heard.snapshots.length > 0);
    source.close();
    expect(heard.names()).toEqual(["node-1", "node-2", "node-3"]);
  });
});
