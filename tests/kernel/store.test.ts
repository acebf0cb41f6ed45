import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { BINARY, destroySandboxes, NETWORK, NOTHING, type Pod, read, run, Sandbox } from "./sandbox.ts";
import { addressesOf, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const V4 = { ranges: [[{ subnet: "10.7.0.0/24" }]], routes: [] };

function folderOf(box: Sandbox): string {
  const folder = `${box.dataDir}/${NETWORK}`;
  mkdirSync(folder, { recursive: true });
  return folder;
}

describe("a /16 that is 99.9 % full", () => {
  const big = { ranges: [[{ subnet: "10.9.0.0/16" }]], routes: [] };
  const STRACE = "/usr/bin/strace";

  /** How often the store's folder was listed during a call. */
  function listings(box: Sandbox, command: string, pod: Pod): number {
    const log = `${box.dir}/trace`;
    const trace = [STRACE, "-f", "-y", "-e", "trace=getdents64", "-o", log];
    const argv = ["/usr/bin/nsenter", `--net=${box.netns}`, ...trace, BINARY];
    const done = run(argv, { stdin: JSON.stringify(box.conf({}, big)), env: box.variables(command, pod) });
    expect(done.exitCode).toBe(0);
    return read(log)
      .split("\n")
      .filter((line) => line.includes(`<${box.dataDir}/${NETWORK}>`)).length;
  }

  test("ADD finds a free address; from the second call on the folder is not listed", () => {
    const box = new Sandbox();
    const folder = folderOf(box);
    for (let n = 2; n < 2 + 65_470; n++) writeFileSync(`${folder}/10.9.${n >> 8}.${n & 255}`, "full\r\neth0");
    const taken = new Set(readdirSync(folder));
    const pods = box.pods(3);
    const [first, second, third] = pods;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("three pods were made");

    const [address = ""] = addressesOf(box.add(first, box.conf({}, big)));
    expect(address).toMatch(/^10\.9\.255\.\d+$/);
    expect(taken.has(address)).toBe(false);
    if (existsSync(STRACE)) {
      rmSync(`${folder}/.pool.0`);
      expect(listings(box, "ADD", second)).toBeGreaterThan(0);
      expect(listings(box, "ADD", third)).toBe(0);
      expect(listings(box, "DEL", third)).toBe(0);
      expect(listings(box, "ADD", third)).toBe(0);
    }
    for (const pod of pods) expect(box.call("DEL", pod, box.conf({}, big)).exitCode).toBe(0);
    expect(box.reservations()).toHaveLength(taken.size);
  });
});

describe("a store shared with host-local", () => {
  const HOST_LOCAL = "/usr/lib/cni/host-local";
  const hostLocal = (box: Sandbox, command: string, pod: Pod) => {
    const ipam = { type: "host-local", dataDir: box.dataDir, ranges: V4.ranges };
    const stdin = JSON.stringify({ cniVersion: "1.0.0", name: NETWORK, type: "bridge", ipam });
    return run([HOST_LOCAL], { stdin, env: box.variables(command, pod) });
  };

  test.skipIf(!existsSync(HOST_LOCAL))(
    "neither gives what the other gave, and each can release the other's",
    () => {
      const box = new Sandbox();
      const conf = box.conf({}, V4);
      const pods = box.pods(6);
      const addresses = pods.flatMap((pod, index) =>
        addressesOf(index % 2 === 0 ? resultOf(hostLocal(box, "ADD", pod)) : box.add(pod, conf)),
      );
      expect(new Set(addresses).size).toBe(6);
      expect(box.reservations().sort()).toEqual([...addresses].sort());
      for (const [index, pod] of pods.entries()) {
        const done = index % 2 === 0 ? box.call("DEL", pod, conf) : hostLocal(box, "DEL", pod);
        expect(done.exitCode).toBe(0);
      }
      expect(box.reservations()).toEqual([]);
      for (const pod of pods) box.call("DEL", pod, conf);
      expect(box.leftovers()).toEqual(NOTHING);
    },
  );

  test("a file of an older host-local (the ID alone, LF) is kept, and released by DEL", () => {
    const box = new Sandbox();
    writeFileSync(`${folderOf(box)}/10.7.0.2`, "old\n");
    expect(addressesOf(box.add(box.pod(), box.conf({}, V4)))).toEqual(["10.7.0.3"]);
    expect(box.call("DEL", { id: "old", netns: "" }, box.conf({}, V4)).exitCode).toBe(0);
    expect(box.reservations()).toEqual(["10.7.0.3"]);
  });
});

describe("damage", () => {
  test("a torn reservation file is taken as free when its address is asked for", () => {
    const box = new Sandbox();
    writeFileSync(`${folderOf(box)}/10.7.0.9`, "");
    const conf = box.conf({ runtimeConfig: { ips: ["10.7.0.9"] } }, V4);
    expect(addressesOf(box.add(box.pod(), conf))).toEqual(["10.7.0.9"]);
    expect(read(`${folderOf(box)}/10.7.0.9`)).toBe("pod1\r\neth0");
  });

  test("a torn reservation file is taken as free when no other address is left", () => {
    const box = new Sandbox();
    writeFileSync(`${folderOf(box)}/10.7.0.2`, "");
    const conf = box.conf({}, { ranges: [[{ subnet: "10.7.0.0/30" }]], routes: [] });
    expect(addressesOf(box.add(box.pod(), conf))).toEqual(["10.7.0.2"]);
  });

  test("the kept bitmaps may be deleted, emptied or garbled at any time", () => {
    const box = new Sandbox();
    const damages = [
      (file: string) => rmSync(file),
      (file: string) => truncateSync(file, 0),
      (file: string) => truncateSync(file, 40),
      (file: string) => writeFileSync(file, "{}\n"),
      (file: string) => writeFileSync(file, new Uint8Array(64).fill(255)),
    ];
    const given = damages.flatMap((damage) => {
      const addresses = addressesOf(box.add(box.pod()));
      for (const file of [0, 1]) damage(`${folderOf(box)}/.pool.${file}`);
      return addresses;
    });
    expect(new Set(given).size).toBe(2 * damages.length);
    expect(box.reservations().sort()).toEqual([...given].sort());
  });

  test("a garbled cursor, and a leftover of a killed claim, are harmless", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, box.conf({}, V4));
    writeFileSync(`${folderOf(box)}/last_reserved_ip.0`, "not an address");
    writeFileSync(`${folderOf(box)}/.claim`, "half");
    expect(addressesOf(box.add(b, box.conf({}, V4)))).toEqual(["10.7.0.3"]);
    expect(existsSync(`${folderOf(box)}/.claim`)).toBe(false);
  });

  test("a reservation removed by hand in a full range is found free", () => {
    const box = new Sandbox();
    const conf = box.conf({}, { ranges: [[{ subnet: "10.7.0.0/30" }]], routes: [] });
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, conf);
    rmSync(`${folderOf(box)}/10.7.0.2`);
    expect(addressesOf(box.add(b, conf))).toEqual(["10.7.0.2"]);
  });
});

describe("the boot marker", () => {
  test("of another boot does not free what was made in this one, however old the file claims to be", () => {
    const box = new Sandbox();
    const folder = folderOf(box);
    const other = "00000000-0000-4000-8000-000000000000";
    writeFileSync(`${folder}/.boot`, other);
    writeFileSync(`${folder}/10.7.0.2`, "alive\r\neth0");
    utimesSync(`${folder}/10.7.0.2`, 1, 1);
    expect(addressesOf(box.add(box.pod(), box.conf({}, V4)))).toEqual(["10.7.0.3"]);
    expect(read(`${folder}/10.7.0.2`)).toBe("alive\r\neth0");
    expect(read(`${folder}/.boot`).trim()).toBe(read("/proc/sys/kernel/random/boot_id").trim());
  });
});
