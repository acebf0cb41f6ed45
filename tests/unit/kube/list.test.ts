import { afterEach, expect, test } from "bun:test";
import { eventually, rawNode } from "./recorder.ts";
import { endScenes, play, THREE, watching } from "./scene.ts";

afterEach(endScenes);

const page = (token: string, ...numbers: number[]) =>
  JSON.stringify({
    kind: "NodeList",
    metadata: { resourceVersion: "1", continue: token },
    items: numbers.map((n) => rawNode(n)),
  });

test.each([
  ["leads back to itself", [page("a", 1), page("a", 2)]],
  ["is followed by an empty one", [page("a", 1), page("b")]],
])("a page that %s is a fault, and no snapshot", async (_what, texts) => {
  const { heard } = await play({}, { pageSize: 1 }, (twin) => {
    for (const text of [...texts, ...texts]) twin.behave({ on: "list", text });
    twin.behave({ on: "list", times: 1000, status: 500 });
  });
  await eventually("two errors", () => (heard.counts.get("error") ?? 0) >= 2);
  expect(heard.states.some((state) => state?.endsWith("the pages of the list have no end"))).toBe(true);
  expect(heard.snapshots).toEqual([]);
});

test("a later page that fails leaves nothing behind", async () => {
  const { heard } = await play({}, { pageSize: 1 }, (twin) => {
    twin.behave({ on: "list", text: page("a", 1, 2) });
    twin.behave({ on: "list", times: 1000, status: 500 });
  });
  await eventually("two errors", () => (heard.counts.get("error") ?? 0) >= 2);
  expect(heard.snapshots).toEqual([]);
});

test("a server that goes on refusing a version is asked for a list", async () => {
  const scene = await play(THREE);
  await watching(scene);
  const { server, heard } = scene;
  server.behave({ on: "watch", status: 504, times: 5, message: "Too large resource version" });
  server.cutWatches("reset");
  await eventually("a relist", () => heard.counts.get("relist") === 1);
  await watching(scene);
});

test("a first 410 is no fault to tell", async () => {
  const scene = await play(THREE);
  await watching(scene);
  const { server, heard } = scene;
  server.behave({ on: "watch", status: 410 });
  server.cutWatches("end");
  await eventually("a relist", () => heard.counts.get("relist") === 1);
  expect(heard.states.every((state) => state === null)).toBe(true);
});

test("one 410 after another is told", async () => {
  const { heard } = await play(THREE, {}, (twin) => twin.behave({ on: "watch", status: 410, times: 3 }));
  await eventually("a fault", () => heard.states.some((state) => state?.includes(": 410 Gone") === true));
});
