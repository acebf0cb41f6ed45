import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { IpamNode } from "./ipam-node.ts";
import { destroySandboxes, NETWORK } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const V4 = { ranges: [[{ subnet: "10.7.0.0/24" }]] };

describe("minicni ipam show", () => {
  test("tells who holds each address, and pods by name where the runtime knows them", () => {
    const node = new IpamNode({}, V4);
    const pods = node.box.pods(3);
    for (const pod of pods) node.box.add(pod, node.box.conf({}, V4));
    const [first, second] = pods;
    if (first === undefined || second === undefined) throw new Error("no pods");
    for (const [index, pod] of pods.entries()) node.remember(pod, `web-${index}`);
    node.lose(second);
    const { stdout, exitCode } = node.ipam(["show"]);
    expect(exitCode).toBe(0);
    const lines = stdout.split("\n").map((line) => line.replace(/ +/g, " ").trim());
    expect(lines[1]).toBe(
      "10.7.0.1-10.7.0.254 ▎░░░░░░░░░░░░░░░░░░░ 1 % 3 held, 250 free, 1 gateway, next 10.7.0.5",
    );
    const veth = node.box.hostVeths();
    expect(lines[3]).toMatch(/^10\.7\.0\.2 live shop\/web-0 pod1 eth0 mcni[0-9a-f]{11} /);
    expect(veth.some((name) => lines[3]?.includes(name))).toBe(true);
    expect(lines[4]).toMatch(/^10\.7\.0\.3 netns gone shop\/web-1 pod2 eth0 \d/);
    expect(node.states("--container", "pod3")).toEqual(["10.7.0.4 live"]);
    expect(node.states("--address", "10.7.0.3")).toEqual(["10.7.0.3 netns gone"]);
    expect(node.ipam(["show", "--address", "10.7.0.99"])).toMatchObject({
      exitCode: 1,
      stdout: "no address is held\n",
    });
    expect(node.ipam(["show", "--network", "other"])).toMatchObject({
      exitCode: 2,
      stderr: `minicni: there is no network other\nwhat to do: there are ${NETWORK}\n`,
    });
  });

  test("changes nothing, not even on a node that has nothing", () => {
    const node = new IpamNode();
    expect(node.ipam(["show"])).toMatchObject({ exitCode: 0 });
    expect(node.ipam(["verify"])).toMatchObject({ exitCode: 0 });
    expect(node.ipam(["map"])).toMatchObject({ exitCode: 0 });
    expect([node.box.stateDir, node.box.dataDir, node.foreignDir].map(existsSync)).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("shows the stores of other plugins, which verify does not judge", () => {
    const node = new IpamNode();
    const [known, unknown] = node.box.pods(2);
    if (known === undefined || unknown === undefined) throw new Error("no pods");
    mkdirSync(`${node.foreignDir}/cbr0`, { recursive: true });
    writeFileSync(`${node.foreignDir}/cbr0/10.22.0.2`, `${known.id}\r\neth0`);
    // host-local before v0.8 wrote the ID alone.
    writeFileSync(`${node.foreignDir}/cbr0/10.22.0.3`, unknown.id);
    writeFileSync(`${node.foreignDir}/cbr0/last_reserved_ip.0`, "10.22.0.3");
    expect(node.states("--network", "cbr0")).toEqual(["10.22.0.2 not ours", "10.22.0.3 not ours"]);
    node.remember(known, "old", "cbr0");
    expect(node.states("--network", "cbr0")).toEqual(["10.22.0.2 live", "10.22.0.3 forgotten"]);
    expect(node.findings()).toEqual([]);
    const conf = {
      type: "bridge",
      ipam: { type: "host-local", subnet: "10.22.0.0/24", dataDir: node.foreignDir },
    };
    const list = { cniVersion: "1.0.0", name: "cbr0", plugins: [conf] };
    writeFileSync(`${node.confDir}/20-old.conflist`, JSON.stringify(list));
    expect(node.ipam(["map", "--network", "cbr0"]).stdout).toContain(
      "2 held (1 wrong) of 254 of 10.22.0.0/24, next 10.22.0.4",
    );
  });
});

describe("minicni ipam map", () => {
  test("draws what is held, what is given next, and a leak, in colour or without", () => {
    const node = new IpamNode();
    const pods = node.box.pods(3);
    for (const pod of pods) node.box.add(pod);
    if (pods[0] !== undefined) node.lose(pods[0]);
    const { stdout } = node.ipam(["map"], { COLUMNS: "80" });
    expect(stdout).toContain(`  10.7.0.0    ·G!██>${"░".repeat(58)}\n`);
    expect(stdout).toContain(`  fd00:7::    ·G!██>${"░".repeat(58)}\n`);
    const narrow = node.ipam(["map"], { COLUMNS: "40" }).stdout.split("\n");
    expect(narrow.filter((line) => Bun.stringWidth(line) > 40)).toEqual([]);
    expect(narrow).toContain(`  10.7.0.0    ·G!██>${"░".repeat(10)}`);
  });

  test("writes a picture", () => {
    const node = new IpamNode();
    const pod = node.box.pod();
    node.box.add(pod);
    const path = `${node.box.dir}/pool.svg`;
    expect(node.ipam(["map", "--svg", path])).toMatchObject({ exitCode: 0, stdout: "" });
    expect(readFileSync(path, "utf8")).toContain("10.7.0.2\ncontainer pod1 eth0: live");
    expect(node.ipam(["map", "--svg", "/proc/nowhere/x.svg"]).exitCode).toBe(2);
  });
});
