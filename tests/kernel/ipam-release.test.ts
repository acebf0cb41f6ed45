import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { IpamNode } from "./ipam-node.ts";
import { destroySandboxes, NOTHING, type Pod } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const PORTS = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } };

function make(count: number): { node: IpamNode; pods: Pod[] } {
  const node = new IpamNode();
  const pods = node.box.pods(count);
  for (const pod of pods) node.box.add(pod);
  return { node, pods };
}

describe("minicni ipam release", () => {
  test("frees all that a dead pod has: addresses, record, rules, host ports", () => {
    const node = new IpamNode({ ipMasq: true });
    const pod = node.box.pod();
    node.box.add(pod, node.box.conf({ ipMasq: true, ...PORTS }));
    node.lose(pod);
    const dry = node.ipam(["release", "10.7.0.2", "--dry-run"]);
    expect(dry).toMatchObject({ exitCode: 0 });
    expect(dry.stdout).toStartWith("10.7.0.2 of net1: would be released\n");
    expect(node.box.reservations()).toHaveLength(2);
    const done = node.ipam(["release", "10.7.0.2"]);
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(done.stdout.split("\n")).toEqual([
      "10.7.0.2 of net1: released",
      `  reservation ${node.store}/10.7.0.2 (container pod1 eth0: netns gone)`,
      `  reservation ${node.store}/fd00:7::2`,
      "  record of pod1 eth0, with its rules and host ports",
      "",
    ]);
    expect(node.box.leftovers()).toEqual(NOTHING);
    expect([...node.box.natRules(4), ...node.box.natRules(6)]).toEqual([]);
    expect(JSON.parse(readFileSync(`${node.box.stateDir}/hostports/claims.json`, "utf8")).claims).toEqual([]);
    expect(node.findings()).toEqual([]);
  });

  test("refuses what lives, and says who has it; by force its pod loses its network", () => {
    const { node, pods } = make(2);
    const [first] = pods;
    const refused = node.ipam(["release", "10.7.0.2"]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stdout.split("\n")).toEqual([
      "10.7.0.2 of net1: refused",
      "  container pod1 eth0 lives and uses it",
      `  namespace ${first?.netns}: there`,
      "  delete the pod, or take its network away all the same: --force",
      "",
    ]);
    expect(node.box.reservations()).toHaveLength(4);
    const forced = node.ipam(["release", "--force", "10.7.0.2"]);
    expect(forced.exitCode).toBe(0);
    expect(forced.stdout).toMatch(/\n {2}link mcni[0-9a-f]{11}\n/);
    expect(node.box.reservations().sort()).toEqual(["10.7.0.3", "fd00:7::3"]);
    expect(node.box.hostVeths()).toHaveLength(1);
  });

  test("an address that nobody holds, or that is none", () => {
    const { node } = make(1);
    expect(node.ipam(["release", "10.7.0.9"])).toMatchObject({
      exitCode: 1,
      stdout: `10.7.0.9: unknown\n  no reservation of it: not in ${node.store}\n  see what is held: minicni ipam show\n`,
    });
    expect(node.ipam(["release", "10.7.0"]).exitCode).toBe(2);
    expect(node.ipam(["release"]).exitCode).toBe(2);
  });

  test("several at once: each for itself", () => {
    const { node, pods } = make(3);
    for (const pod of pods.slice(0, 2)) node.lose(pod);
    const { exitCode, stdout } = node.ipam(["release", "10.7.0.2", "10.7.0.3", "10.7.0.4"]);
    expect(exitCode).toBe(1);
    const verdicts = stdout.split("\n").filter((line) => line.startsWith("10."));
    expect(verdicts).toEqual([
      "10.7.0.2 of net1: released",
      "10.7.0.3 of net1: released",
      "10.7.0.4 of net1: refused",
    ]);
    expect(node.box.reservations().sort()).toEqual(["10.7.0.4", "fd00:7::4"]);
  });

  test("a file that names nobody goes alone", () => {
    const { node } = make(1);
    for (const address of ["10.7.0.50", "10.7.0.51"]) writeFileSync(`${node.store}/${address}`, "");
    expect(node.ipam(["release", "10.7.0.50"]).exitCode).toBe(0);
    expect(existsSync(`${node.store}/10.7.0.50`)).toBe(false);
    expect(existsSync(`${node.store}/10.7.0.51`)).toBe(true);
  });

  test("an address that an earlier ADD left goes without the pod that lives", () => {
    const { node } = make(1);
    writeFileSync(`${node.store}/10.7.0.60`, "pod1\r\neth0");
    expect(node.kinds()).toEqual(["warn leak 10.7.0.60"]);
    expect(node.ipam(["release", "10.7.0.60"]).exitCode).toBe(0);
    expect(node.box.reservations().sort()).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(node.findings()).toEqual([]);
  });

  test("of two networks with the same address needs to know which", () => {
    const { node, pods } = make(1);
    if (pods[0] !== undefined) node.lose(pods[0]);
    mkdirSync(`${node.foreignDir}/other`, { recursive: true });
    writeFileSync(`${node.foreignDir}/other/10.7.0.2`, "x\r\neth0");
    const { exitCode, stdout } = node.ipam(["release", "10.7.0.2"]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("it is held in several networks: net1, other");
    expect(node.ipam(["release", "10.7.0.2", "--network", "net1"]).exitCode).toBe(0);
    expect(existsSync(`${node.foreignDir}/other/10.7.0.2`)).toBe(true);
    expect(node.ipam(["release", "10.7.0.2", "--force"]).exitCode).toBe(0);
    expect(existsSync(`${node.foreignDir}/other/10.7.0.2`)).toBe(false);
  });

  test("an address that is free again is given again", () => {
    const { node, pods } = make(1);
    if (pods[0] !== undefined) node.lose(pods[0]);
    node.ipam(["release", "10.7.0.2"]);
    const next = node.box.pod();
    node.box.add(next, node.box.conf({ args: { cni: { ips: ["10.7.0.2"] } } }));
    expect(node.states("--address", "10.7.0.2")).toEqual(["10.7.0.2 live"]);
  });
});
