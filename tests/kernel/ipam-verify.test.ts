import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { IpamNode } from "./ipam-node.ts";
import { destroySandboxes, must, NETWORK, type Pod, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const V4 = { ranges: [[{ subnet: "10.7.0.0/24" }]] };

/** A node with so many pods, of IPv4 alone. */
function make(count: number): { node: IpamNode; pods: Pod[] } {
  const node = new IpamNode({}, V4);
  const pods = node.box.pods(count);
  for (const pod of pods) node.box.add(pod, node.box.conf({}, V4));
  return { node, pods };
}

const recordPath = (node: IpamNode, id: string) =>
  `${node.box.stateDir}/attachments/${NETWORK}/${id}:eth0.json`;

describe("minicni ipam verify finds", () => {
  test("nothing on a node where all is well, of both families", () => {
    const node = new IpamNode();
    for (const pod of node.box.pods(3)) node.box.add(pod);
    expect(node.ipam(["verify"])).toMatchObject({
      exitCode: 0,
      stdout: "6 reservations of 1 network looked at, all is as it should be\n",
    });
  });

  test("a pod that went without a DEL, and how to free its address", () => {
    const { node, pods } = make(2);
    if (pods[0] !== undefined) node.lose(pods[0]);
    expect(node.findings()).toMatchObject([
      {
        kind: "leak",
        level: "warn",
        address: "10.7.0.2",
        message: "10.7.0.2 is held by container pod1 eth0, whose network namespace is gone",
        fix: `minicni ipam release --network ${NETWORK} 10.7.0.2`,
      },
    ]);
    expect(node.ipam(["verify"]).exitCode).toBe(1);
  });

  test("a pod whose veth somebody removed: it lives and has no network", () => {
    const { node } = make(1);
    for (const name of node.box.hostVeths()) node.box.node("ip", "link", "del", name);
    expect(node.kinds()).toEqual(["fail cut off 10.7.0.2"]);
  });

  test("two pods with one address", () => {
    const { node, pods } = make(2);
    const [, second] = pods;
    if (second === undefined) throw new Error("no pod");
    must("nsenter", `--net=${second.netns}`, "ip", "addr", "add", "10.7.0.2/24", "dev", "eth0");
    expect(node.findings()).toMatchObject([
      {
        kind: "double",
        level: "fail",
        message: "10.7.0.2 is on container pod1 eth0 and on container pod2 eth0",
      },
    ]);
  });

  test("a reservation that somebody removed, or gave to another", () => {
    const { node } = make(2);
    rmSync(`${node.store}/10.7.0.2`);
    expect(node.kinds()).toEqual(["fail unreserved 10.7.0.2"]);
    writeFileSync(`${node.store}/10.7.0.2`, "pod2\r\neth0");
    expect(node.kinds()).toEqual(["fail mismatch 10.7.0.2", "warn leak 10.7.0.2"]);
  });

  test("torn files, addresses of no range, those that nobody knows", () => {
    const { node, pods } = make(1);
    writeFileSync(`${node.store}/10.7.0.50`, "");
    writeFileSync(`${node.store}/10.9.9.9`, "stray\r\neth0");
    expect(node.kinds()).toEqual(["warn torn 10.7.0.50", "note no record 10.9.9.9", "warn outside 10.9.9.9"]);
    // With a runtime that keeps what it knows, one that it does not know is gone.
    if (pods[0] !== undefined) node.remember(pods[0], "web");
    expect(node.kinds()).toContain("warn leak 10.9.9.9");
  });

  test("a lost record, and a veth of which nothing else tells", () => {
    const { node } = make(2);
    rmSync(recordPath(node, "pod1"));
    writeFileSync(recordPath(node, "pod2"), "{}");
    expect(node.kinds()).toEqual(["warn no record 10.7.0.2", "warn no record 10.7.0.3"]);
    rmSync(`${node.store}/10.7.0.2`);
    expect(
      node
        .findings()
        .some(({ message }) => /^mcni[0-9a-f]+ of container pod1 eth0 has no record/.test(message)),
    ).toBe(true);
  });

  test("an ADD that was killed half way, and lets one alone that is under way", async () => {
    const { node } = make(1);
    const path = recordPath(node, "killed");
    const record = JSON.parse(readFileSync(recordPath(node, "pod1"), "utf8"));
    const half = { ...record, containerId: "killed", phase: "reserved", addresses: ["10.7.0.9"] };
    writeFileSync(path, JSON.stringify(half));
    writeFileSync(`${node.store}/10.7.0.9`, "killed\r\neth0");
    expect(node.kinds()).toEqual(["warn leak 10.7.0.9"]);
    rmSync(path);
    rmSync(`${node.store}/10.7.0.9`);
    // The store's lock keeps an ADD behind its first record.
    const lock = `${node.store}/lock`;
    closeSync(openSync(lock, "a"));
    const holder = Bun.spawn({ cmd: ["flock", lock, "sleep", "60"], stdout: "ignore" });
    const add = node.box.start("ADD", node.box.pod(), node.box.conf({}, V4));
    try {
      for (let tries = 0; node.box.records().length < 2 && tries < 500; tries++) await Bun.sleep(10);
      expect(node.box.records()).toHaveLength(2);
      expect(node.findings()).toEqual([]);
    } finally {
      run(["pkill", "-KILL", "-P", String(holder.pid)]);
      holder.kill("SIGKILL");
    }
    expect((await add.done).exitCode).toBe(0);
    expect(node.findings()).toEqual([]);
  });

  test("nothing in reservations that are younger than this boot, whatever the store's mark says", () => {
    const { node } = make(1);
    writeFileSync(`${node.store}/.boot`, "another");
    expect(node.kinds()).toEqual([]);
  });

  test("a bitmap that differs from the files", () => {
    const { node } = make(1);
    const file = `${node.store}/.pool.0`;
    const bytes = readFileSync(file);
    const start = bytes.indexOf(10) + 1;
    // 10.7.0.200 is bit 199 of the range that begins with 10.7.0.1.
    bytes[start + (199 >> 3)] = (bytes[start + (199 >> 3)] ?? 0) | (1 << (199 & 7));
    writeFileSync(file, bytes);
    expect(node.findings()).toMatchObject([
      {
        kind: "bitmap",
        level: "warn",
        evidence: [`${file}: taken, and there is no file: 10.7.0.200`],
        fix: `rm ${file}`,
      },
    ]);
  });

  test("a full range, with how many of it are leaked", () => {
    const ipam = { ranges: [[{ subnet: "10.7.0.0/29" }]] };
    const node = new IpamNode({}, ipam);
    const pods = node.box.pods(5);
    for (const pod of pods) node.box.add(pod, node.box.conf({}, ipam));
    if (pods[0] !== undefined) node.lose(pods[0]);
    const [full] = node.findings();
    expect(full).toMatchObject({
      kind: "full",
      level: "fail",
      message: "no address is left of 10.7.0.1-10.7.0.6: 5 are held, 1 of them not by a pod that lives",
    });
  });
});

test("a store that was host-local's is judged by what the runtime knows of its pods", () => {
  const node = new IpamNode({}, V4);
  const [old, gone] = node.box.pods(2);
  if (old === undefined || gone === undefined) throw new Error("no pods");
  mkdirSync(node.store, { recursive: true });
  writeFileSync(`${node.store}/10.7.0.2`, `${old.id}\r\neth0`);
  writeFileSync(`${node.store}/10.7.0.3`, `${gone.id}\r\neth0`);
  for (const pod of [old, gone]) node.remember(pod, pod.id);
  node.box.removePod(gone);
  expect(node.states()).toEqual(["10.7.0.2 live", "10.7.0.3 netns gone"]);
  expect(node.kinds()).toEqual(["warn leak 10.7.0.3"]);
});
