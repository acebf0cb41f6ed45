import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { createPublisher, type PublishedState, type Publisher } from "../../../../src/entry/agent/publish.ts";
import { findNode } from "../../../../src/entry/node.ts";
import { parseAddress } from "../../../../src/net/address.ts";
import type { ClusterNode } from "../../../../src/net/node.ts";
import { parsePrefix } from "../../../../src/net/prefix.ts";
import { createFakeMachine, type FakeMachine } from "../../../twin/machine.ts";

const DONE = { changed: true, fault: null };
const SAME = { changed: false, fault: null };

const prefixes = (...texts: string[]) => texts.flatMap((text) => parsePrefix(text) ?? []);
const STATE: PublishedState = {
  ready: true,
  reason: null,
  podCidrs: prefixes("10.244.1.0/24", "fd00:244:1::/64"),
  clusterCidrs: prefixes("10.244.0.0/16"),
  mtu: 1450,
  backend: "vxlan",
};
const nodesOf = (...names: string[]): ClusterNode[] =>
  names.map((name, index) => ({
    name,
    podCidrs: prefixes(`10.244.${index}.0/24`),
    addresses: [parseAddress(`192.0.2.${index + 1}`) ?? { family: 4, value: 0n }],
  }));

let root = "";
let machine: FakeMachine;
let nowMs = 0;
let publisher: Publisher;
const conflist = () => `${root}/net.d/10-minicni.conflist`;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
  machine = createFakeMachine(root);
  nowMs = 0;
  const settings = { stateDir: `${root}/run`, dataDir: `${root}/lib`, confDir: `${root}/net.d` };
  publisher = createPublisher(machine, settings, () => nowMs);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("node.json", () => {
  test("is what the plugin reads, and of this boot", () => {
    expect(publisher.node(STATE)).toEqual(DONE);
    expect(findNode(`${root}/run`, machine)).toEqual({
      path: `${root}/run/node.json`,
      podCidrs: ["10.244.1.0/24", "fd00:244:1::/64"],
      clusterCidrs: prefixes("10.244.0.0/16"),
      mtu: 1450,
      notReady: null,
    });
    machine.bootId = () => "boot-2";
    expect(findNode(`${root}/run`, machine)).toBeNull();
  });

  test("says why it is not ready", () => {
    publisher.node({ ...STATE, ready: false, reason: "no answer from the API" });
    expect(findNode(`${root}/run`, machine)?.notReady).toBe("no answer from the API");
  });

  test("is written once, and again when somebody damaged or removed it", () => {
    publisher.node(STATE);
    expect(publisher.node(STATE)).toEqual(SAME);
    writeFileSync(`${root}/run/node.json`, "{");
    expect(publisher.node(STATE)).toEqual(DONE);
    rmSync(`${root}/run/node.json`);
    expect(publisher.node(STATE)).toEqual(DONE);
    expect(publisher.node({ ...STATE, mtu: 1500 })).toEqual(DONE);
  });

  test("a disk that is full becomes a fault", () => {
    machine.writeFile = () => {
      throw new Error("ENOSPC: no space left on device");
    };
    const { changed, fault } = publisher.node(STATE);
    expect(changed).toBe(false);
    expect(fault).toMatch(/node\.json can't be written: ENOSPC/);
  });
});

describe("the conflist on disk", () => {
  test("makes a missing folder, readable to all, and leaves no other file", () => {
    expect(publisher.conflist()).toEqual({ ...DONE, before: [] });
    expect(readdirSync(`${root}/net.d`)).toEqual(["10-minicni.conflist"]);
    expect(statSync(`${root}/net.d`).mode & 0o777).toBe(0o755);
    expect(statSync(conflist()).mode & 0o777).toBe(0o644);
    expect(JSON.parse(readFileSync(conflist(), "utf8")).plugins).toEqual([
      {
        type: "minicni",
        capabilities: { portMappings: true, bandwidth: true },
        stateDir: `${root}/run`,
      },
    ]);
  });

  test("stays the same file while its text is right, and the folder the same inode when it is not", () => {
    publisher.conflist();
    const before = [statSync(conflist()).ino, statSync(`${root}/net.d`).ino];
    expect(publisher.conflist()).toEqual({ ...SAME, before: [] });
    expect(statSync(conflist()).ino).toBe(before[0] ?? 0);
    writeFileSync(conflist(), "{}");
    expect(publisher.conflist()).toEqual({ ...DONE, before: [] });
    expect(statSync(`${root}/net.d`).ino).toBe(before[1] ?? 0);
  });

  test("comes by a rename inside its folder, which a watcher that ignores new files sees", async () => {
    mkdirSync(`${root}/net.d`);
    const renamed: string[] = [];
    const seen = Promise.withResolvers<void>();
    // inotify's IN_MOVED_FROM and IN_MOVED_TO are both "rename" here; a file that is only created is one event.
    const watcher = watch(`${root}/net.d`, (event, name) => {
      if (event === "rename") renamed.push(String(name));
      if (renamed.includes("10-minicni.conflist")) seen.resolve();
    });
    publisher.conflist();
    await seen.promise;
    watcher.close();
    expect(renamed).toContain("10-minicni.conflist.tmp");
  });

  test("what a killed agent left under the temporary name is in nobody's way", () => {
    mkdirSync(`${root}/net.d`);
    writeFileSync(`${conflist()}.tmp`, '{"torn":', { mode: 0o600 });
    expect(publisher.conflist()).toEqual({ ...DONE, before: [] });
    expect(readdirSync(`${root}/net.d`)).toEqual(["10-minicni.conflist"]);
    expect(statSync(conflist()).mode & 0o777).toBe(0o644);
  });

  test("others that a runtime takes first are named and left, older ones of ours as well", () => {
    mkdirSync(`${root}/net.d`);
    for (const name of ["05-cilium.conflist", "09-minicni.conflist", "87-podman.conflist"])
      writeFileSync(`${root}/net.d/${name}`, "theirs");
    expect(publisher.conflist().before).toEqual(["05-cilium.conflist", "09-minicni.conflist"]);
    expect(readFileSync(`${root}/net.d/05-cilium.conflist`, "utf8")).toBe("theirs");
    expect(readFileSync(`${root}/net.d/09-minicni.conflist`, "utf8")).toBe("theirs");
  });

  test("one before ours that calls our plugin, perhaps among others, is no stranger", () => {
    mkdirSync(`${root}/net.d`);
    const list = { name: "minicni", plugins: [{ type: "minicni" }, { type: "portmap" }] };
    writeFileSync(`${root}/net.d/05-minicni.conflist`, JSON.stringify(list));
    expect(publisher.conflist().before).toEqual([]);
  });

  test("where something else has the name, that is a fault, and the temporary file goes", () => {
    mkdirSync(conflist(), { recursive: true });
    writeFileSync(`${conflist()}/inside`, "");
    const { changed, fault } = publisher.conflist();
    expect(changed).toBe(false);
    expect(fault).toContain(`${conflist()} can't be written`);
    expect(readdirSync(`${root}/net.d`)).toEqual(["10-minicni.conflist"]);
  });

  test("without a folder in the settings none is written", () => {
    const settings = { stateDir: `${root}/run`, dataDir: `${root}/lib`, confDir: "" };
    expect(createPublisher(machine, settings).conflist()).toEqual({ ...SAME, before: [] });
    expect(readdirSync(root)).toEqual([]);
  });
});

describe("the last known Nodes", () => {
  test("come back as they were", () => {
    const nodes = nodesOf("a", "b");
    expect(publisher.remember(nodes)).toEqual(DONE);
    expect(publisher.recall()).toEqual({ nodes, faults: [] });
    expect(readdirSync(`${root}/lib`)).toEqual(["nodes.json"]);
  });

  test("are written at most every five seconds, and only when they changed", () => {
    const first = nodesOf("a");
    publisher.remember(first);
    const more = nodesOf("a", "b");
    nowMs = 4_999;
    expect(publisher.remember(more)).toEqual(SAME);
    expect(publisher.recall()?.nodes).toHaveLength(1);
    nowMs = 5_000;
    expect(publisher.remember(more)).toEqual(DONE);
    nowMs = 20_000;
    expect(publisher.remember(nodesOf("a", "b"))).toEqual(SAME);
  });

  test("an empty list does not take the place of what is known", () => {
    publisher.remember(nodesOf("a"));
    nowMs = 10_000;
    expect(publisher.remember([])).toEqual(SAME);
    expect(publisher.recall()?.nodes.map(({ name }) => name)).toEqual(["a"]);
  });

  test.each(["", "{", '{"items":[{"metadata":{}}]}', '{"items":[]}', "null"])(
    "%p is as good as none",
    (text) => {
      expect(publisher.recall()).toBeNull();
      mkdirSync(`${root}/lib`);
      writeFileSync(`${root}/lib/nodes.json`, text);
      expect(publisher.recall()).toBeNull();
      expect(publisher.remember(nodesOf("a"))).toEqual(DONE);
      expect(publisher.recall()?.nodes).toHaveLength(1);
    },
  );

  test("a folder that can't be made is a fault, and is tried again", () => {
    writeFileSync(`${root}/lib`, "a file");
    const nodes = nodesOf("a");
    for (let time = 0; time < 2; time++)
      expect(publisher.remember(nodes).fault).toContain(`${root}/lib/nodes.json can't be written`);
    rmSync(`${root}/lib`);
    nowMs = 5_000;
    expect(publisher.remember(nodes)).toEqual(DONE);
  });
});
