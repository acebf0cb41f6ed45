import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { destroySandboxes, type Json, must, NOTHING, type Pod, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, resultOf } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const FOREIGN = "02:00:00:00:00:99";

function guarded(box: Sandbox, more: Json = {}): Json {
  return box.conf({ macspoofchk: true, ...more });
}

function tables(box: Sandbox): string {
  return box.node("nft", "list", "ruleset", "bridge");
}

/** Changes the pod's MAC; its neighbours learn it from what it sends, so that only the check can stop it. */
function setMac(pod: Pod, mac: string): void {
  must("nsenter", `--net=${pod.netns}`, "ip", "link", "set", "eth0", "address", mac);
  must("nsenter", `--net=${pod.netns}`, "ip", "neigh", "flush", "all");
}

/** Without the neighbour entry that ADD made: it would answer to the old MAC whatever the pod sends. */
function forget(box: Sandbox): void {
  box.node("ip", "neigh", "flush", "all");
  box.node("ip", "neigh", "flush", "nud", "permanent");
}

describe("macspoofchk", () => {
  test("a frame with a foreign source MAC is dropped, one with the right MAC passes", () => {
    const box = new Sandbox();
    const [pod, peer] = [box.pod(), box.pod()];
    const mac = box.add(pod, guarded(box)).interfaces[2]?.mac ?? "";
    const [v4 = "", v6 = ""] = addressesOf(box.add(peer, guarded(box)));
    for (const address of ["10.7.0.1", "fd00:7::1", v4, v6]) expect(box.pings(pod.netns, address)).toBe(true);
    setMac(pod, FOREIGN);
    forget(box);
    for (const address of ["10.7.0.1", v6]) expect(box.pings(pod.netns, address)).toBe(false);
    setMac(pod, mac);
    forget(box);
    for (const address of ["10.7.0.1", v4]) expect(box.pings(pod.netns, address)).toBe(true);
  });

  test("a pod without it in the same bridge may use any MAC", () => {
    const box = new Sandbox();
    const [free, bound] = [box.pod(), box.pod()];
    box.add(bound, guarded(box));
    box.add(free);
    setMac(free, FOREIGN);
    forget(box);
    for (const address of ["10.7.0.1", "fd00:7::1"]) expect(box.pings(free.netns, address)).toBe(true);
  });

  test("the MAC that was asked for is the one that may send", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod, guarded(box, { runtimeConfig: { mac: "02:11:22:33:44:55" } }));
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
    expect(tables(box)).toContain("02:11:22:33:44:55");
  });

  test("rules do not grow with pods; a pod's elements go with it, the table with the last", () => {
    const box = new Sandbox();
    const pods = box.pods(4);
    const rules = () => tables(box).match(/ drop$/gm)?.length ?? 0;
    const [first, ...others] = pods;
    if (first === undefined) throw new Error("four pods were made");
    box.add(first, guarded(box));
    const before = rules();
    for (const pod of others) box.add(pod, guarded(box));
    expect(rules()).toBe(before);
    for (const pod of pods) {
      const mac = box.link("eth0", pod.netns).address;
      expect(tables(box)).toContain(mac);
      expect(box.call("DEL", pod, guarded(box)).exitCode).toBe(0);
      expect(tables(box)).not.toContain(mac);
    }
    expect(tables(box)).toBe("");
  });

  test("DEL finds the elements by the record alone, and by the key alone", () => {
    for (const isRecorded of [true, false]) {
      const box = new Sandbox();
      const pod = box.pod();
      box.add(pod, guarded(box));
      if (!isRecorded) rmSync(box.stateDir, { recursive: true });
      expect(box.call("DEL", pod, isRecorded ? box.conf() : guarded(box)).exitCode).toBe(0);
      expect(tables(box)).toBe("");
    }
  });

  test("a failed ADD leaves none", () => {
    const box = new Sandbox();
    const pod = box.pod();
    must("nsenter", `--net=${pod.netns}`, "ip", "link", "add", "eth0", "type", "bridge");
    expect(errorOf(box.call("ADD", pod, guarded(box))).code).toBe(4);
    expect(tables(box)).toBe("");
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("two networks have tables of their own", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const other = box.conf(
      { name: "net2", bridge: "br1", macspoofchk: true },
      { ranges: [[{ subnet: "10.8.0.0/24" }]], routes: [] },
    );
    box.add(a, guarded(box));
    const prevResult = box.add(b, other);
    expect(box.call("DEL", a, guarded(box)).exitCode).toBe(0);
    expect(box.call("CHECK", b, { ...other, prevResult }).exitCode).toBe(0);
    expect(box.call("DEL", b, other).exitCode).toBe(0);
    expect(tables(box)).toBe("");
  });

  test("ADDs and DELs side by side end with the elements of those that stay", async () => {
    const box = new Sandbox();
    const [going, coming] = [box.pods(6), box.pods(6)];
    const all = (command: string, pods: readonly Pod[]) =>
      pods.map((pod) => box.start(command, pod, guarded(box)).done);
    const codes = async (calls: ReturnType<typeof all>) =>
      (await Promise.all(calls)).map(({ exitCode }) => exitCode);
    expect(await codes(all("ADD", going))).toEqual(going.map(() => 0));
    expect(await codes([...all("DEL", going), ...all("ADD", coming)])).toEqual(new Array(12).fill(0));
    const listed = [...tables(box).matchAll(/"(mcni\w+)" \./g)].map(([, name = ""]) => name);
    expect(listed.sort()).toEqual(box.hostVeths().sort());
  });

  test("a DEL beside an ADD that has not made its link yet leaves that one checked", async () => {
    const box = new Sandbox();
    const [late, stays, goes] = [box.pod(), box.pod(), box.pod()];
    for (const pod of [stays, goes]) box.add(pod, guarded(box));
    const folder = `${box.dir}/slow`;
    mkdirSync(folder);
    writeFileSync(`${folder}/ip`, `#!/bin/sh\nsleep 1; exec ${Bun.which("ip")} "$@"\n`, { mode: 0o755 });
    const ports = () => tables(box).match(/"mcni\w+" \./g)?.length ?? 0;
    const env = { PATH: `${folder}:${process.env.PATH}` };
    const adding = box.start("ADD", late, guarded(box, { executor: "iproute2" }), { env });
    for (let tries = 0; tries < 200 && ports() < 3; tries++) await Bun.sleep(10);
    expect(box.hostVeths()).toHaveLength(2);
    expect(box.call("DEL", goes, guarded(box)).exitCode).toBe(0);
    const prevResult = resultOf(await adding.done);
    expect(box.call("CHECK", late, guarded(box, { prevResult })).stdout).toBe("");
    expect(ports()).toBe(2);
  });
});

describe("CHECK of macspoofchk", () => {
  const table = (box: Sandbox) => /table bridge (\w+)/.exec(tables(box))?.[1] ?? "(none)";
  const damages: readonly (readonly [string, (box: Sandbox, veth: string, mac: string) => unknown])[] = [
    [
      "its port is no longer checked",
      (box, veth) => box.node("nft", "delete", "element", "bridge", table(box), "checked", `{ ${veth} }`),
    ],
    [
      "its MAC is no longer allowed",
      (box, veth, mac) =>
        box.node("nft", "delete", "element", "bridge", table(box), "allowed", `{ ${veth} . ${mac} }`),
    ],
    [
      "another MAC is allowed as well",
      (box, veth) =>
        box.node("nft", "add", "element", "bridge", table(box), "allowed", `{ ${veth} . ${FOREIGN} }`),
    ],
    ["the rule is gone", (box) => box.node("nft", "flush", "chain", "bridge", table(box), "prerouting")],
    ["the table is gone", (box) => box.node("nft", "delete", "table", "bridge", table(box))],
  ];
  for (const [what, damage] of damages) {
    test(`${what}: fails and says so`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const prevResult = box.add(pod, guarded(box));
      expect(box.call("CHECK", pod, guarded(box, { prevResult })).exitCode).toBe(0);
      const [, host, inside] = prevResult.interfaces;
      damage(box, host?.name ?? "", inside?.mac ?? "");
      const error = errorOf(box.call("CHECK", pod, guarded(box, { prevResult })));
      expect(error.code).toBe(999);
      expect(error.details).toContain(`lacks the MAC check of ${host?.name} (${inside?.mac})`);
    });
  }
});
