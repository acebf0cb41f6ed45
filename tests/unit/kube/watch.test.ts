import { afterEach, describe, expect, test } from "bun:test";
import { eventually, type Recorder, rawNode } from "./recorder.ts";
import { endScenes, play, THREE, watching } from "./scene.ts";

afterEach(endScenes);

describe("watchNodeApi", () => {
  test("tells the whole list, then what comes, changes and goes", async () => {
    const scene = await play(THREE);
    const { server, heard } = scene;
    await watching(scene);
    expect(heard.names()).toEqual(["node-1", "node-2", "node-3"]);
    server.upsert(rawNode(4));
    await eventually("node-4", () => heard.names()?.includes("node-4") === true);
    server.remove("node-1");
    await eventually("no node-1", () => heard.names()?.includes("node-1") === false);
    server.upsert(rawNode(2, { spec: { podCIDRs: ["10.1.1.0/24"] } }));
    await eventually("a changed CIDR", () => JSON.stringify(cidrsOf(heard, "node-2")) === '["10.1.1.0/24"]');
    expect(server.requests.map(({ verb }) => verb)).toEqual(["list", "watch"]);
  });

  test("loses no change that a watch brought just before it broke and the list had to be read again", async () => {
    const scene = await play(THREE, { quietMs: 300, maxQuietMs: 1_000 });
    await watching(scene);
    const { server, heard } = scene;
    server.upsert(rawNode(4));
    await eventually("the change", () => heard.counts.get("event") === 1);
    server.send("{]\n");
    await eventually("another list", () => heard.counts.get("relist") === 1);
    await eventually("node-4", () => heard.names()?.includes("node-4") === true);
  });

  test("lists in pages, and watches from where the list was", async () => {
    const nodes = Array.from({ length: 7 }, (_, n) => rawNode(n + 1));
    const scene = await play({ nodes }, { pageSize: 3 });
    await watching(scene);
    const { server, heard } = scene;
    expect(heard.names()).toHaveLength(7);
    expect(heard.snapshots).toHaveLength(1);
    const [first, second, third, watch] = server.requests.map(({ query }) => Object.fromEntries(query));
    expect(first).toEqual({ limit: "3" });
    expect([second?.limit, third?.limit]).toEqual(["3", "3"]);
    expect(second?.continue).not.toBe(third?.continue);
    expect(watch).toMatchObject({ watch: "true", allowWatchBookmarks: "true", resourceVersion: "8" });
    const seconds = Number(watch?.timeoutSeconds);
    expect(seconds >= 240 && seconds <= 480).toBe(true);
  });

  test("says nothing of updates that change nothing of use", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard } = scene;
    for (let beat = 0; beat < 5; beat++) server.upsert(rawNode(1, { beat }));
    await eventually("five irrelevant updates", () => heard.counts.get("irrelevant") === 5);
    server.upsert(rawNode(4));
    await eventually("node-4", () => heard.names()?.includes("node-4") === true);
    expect(heard.snapshots).toHaveLength(2);
  });

  test("tells many changes at once", async () => {
    const scene = await play(THREE, { quietMs: 200, maxQuietMs: 2000 });
    await watching(scene);
    const { server, heard } = scene;
    for (let n = 10; n < 60; n++) server.upsert(rawNode(n));
    await eventually("all of them", () => heard.names()?.length === 53);
    expect(heard.snapshots.length).toBeLessThan(10);
  });

  test("goes on after a watch that ended, without another list", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard } = scene;
    server.bookmark();
    await eventually("a bookmark", () => heard.counts.get("bookmark") === 1);
    server.cutWatches("end");
    await eventually("a second watch", () => heard.counts.get("watch") === 2);
    expect(server.requests.map(({ verb }) => verb)).toEqual(["list", "watch", "watch"]);
    expect(server.requests[2]?.query.get("resourceVersion")).toBe("5");
    server.upsert(rawNode(4));
    await eventually("node-4", () => heard.names()?.includes("node-4") === true);
  });

  test("lets the server end its watches, and keeps no request longer", async () => {
    const scene = await play(THREE, { watchSeconds: 1, random: () => 0 });
    await eventually("three watches", () => (scene.heard.counts.get("watch") ?? 0) >= 3);
    expect(scene.heard.counts.get("error")).toBeUndefined();
    expect(scene.server.requests.filter(({ verb }) => verb === "list")).toHaveLength(1);
  }, 30_000);

  test("lists again when the version of its watch is gone, and tells what went meanwhile", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard } = scene;
    server.behave({ on: "watch", status: 503, times: 2 });
    server.cutWatches("reset");
    server.remove("node-3");
    server.compact();
    await eventually("no node-3", () => heard.names()?.length === 2);
    expect(heard.counts.get("relist")).toBe(1);
    expect(heard.names()).toEqual(["node-1", "node-2"]);
  });

  test("asks for the whole list at once when a page's token is gone", async () => {
    const nodes = Array.from({ length: 7 }, (_, n) => rawNode(n + 1));
    const scene = await play({ nodes }, { pageSize: 3 }, (twin) => {
      twin.behave({ on: "list", delayMs: 0 });
      twin.behave({ on: "list", status: 410, message: "continue is too old" });
    });
    await watching(scene);
    expect(scene.heard.names()).toHaveLength(7);
    expect(scene.heard.snapshots).toHaveLength(1);
    expect(scene.heard.counts.get("error") ?? 0).toBe(0);
  });

  test("tells the own Node's NetworkUnavailable as it changes", async () => {
    const says = (status: string) =>
      rawNode(1, {
        status: {
          addresses: [{ type: "InternalIP", address: "192.168.0.1" }],
          conditions: [{ type: "NetworkUnavailable", status }],
        },
      });
    const scene = await play({ nodes: [says("True"), rawNode(2)] }, { self: "node-1" });
    await watching(scene);
    const { server, heard } = scene;
    server.upsert(says("False"));
    await eventually("a second telling", () => heard.own.length === 2);
    server.upsert(rawNode(1));
    await eventually("a third telling", () => heard.own.length === 3);
    expect(heard.own).toEqual([true, false, null]);
    expect(heard.snapshots).toHaveLength(1);
  });

  test("beats while a server does not answer", async () => {
    const { heard } = await play(THREE, { beatMs: 10 }, (twin) => twin.behave({ hang: true }));
    await eventually("beats", () => heard.beats() > 5);
    expect(heard.snapshots).toEqual([]);
  });

  test("is silent and holds no request once closed", async () => {
    const scene = await play(THREE);
    await watching(scene);
    const { server, heard, source } = scene;
    server.upsert(rawNode(9));
    source.close();
    const told = [heard.snapshots.length, heard.states.length];
    await eventually("no watch", () => server.openWatches() === 0);
    server.upsert(rawNode(8));
    await Bun.sleep(100);
    expect([heard.snapshots.length, heard.states.length]).toEqual(told);
    expect(server.requests).toHaveLength(2);
  });
});

function cidrsOf(heard: Recorder, node: string): unknown {
  const found = heard.snapshots.at(-1)?.nodes.find(({ name }) => name === node);
  return found?.podCidrs.map(({ address, length }) => {
    const value = Number(address.value);
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}/${length}`;
  });
}
