import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BRIDGE, destroySandboxes, type Json, NOTHING, type Pod, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const PODS = 40;

function together(box: Sandbox, command: string, pods: readonly Pod[], conf: Json) {
  return Promise.all(pods.map((pod) => box.start(command, pod, conf).done));
}

describe("many at once", () => {
  test("40 ADDs on a node without a bridge, then 40 DELs", async () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    const pods = box.pods(PODS);
    const results = (await together(box, "ADD", pods, conf)).map(resultOf);

    for (const family of [0, 1]) {
      expect(new Set(results.map((result) => addressesOf(result)[family])).size).toBe(PODS);
    }
    expect(new Set(results.map(({ interfaces }) => interfaces[0]?.mac))).toEqual(
      new Set([box.link(BRIDGE).address]),
    );
    const ports = box.links().filter(({ master }) => master === BRIDGE);
    expect(ports).toHaveLength(PODS);
    expect(ports.every(({ linkinfo }) => linkinfo?.info_slave_data?.hairpin === true)).toBe(true);
    for (const [index, pod] of pods.entries()) {
      const result = results[index];
      const eth0 = box.link("eth0", pod.netns);
      expect(eth0.address).toBe(result?.interfaces[2]?.mac ?? "");
      expect(eth0.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`)).toEqual(
        expect.arrayContaining(result?.ips.map(({ address }) => address) ?? []),
      );
    }
    const [first, last] = [pods[0], results[PODS - 1]];
    for (const address of last === undefined ? [] : addressesOf(last)) {
      expect(box.pings(first?.netns ?? "", address)).toBe(true);
    }
    for (const family of [4, 6] as const) {
      expect(box.natRules(family).filter((line) => line.startsWith("-A POSTROUTING"))).toHaveLength(1);
    }
    expect(box.reservations()).toHaveLength(2 * PODS);

    const dels = await together(box, "DEL", pods, conf);
    expect(dels.map(({ exitCode, stdout }) => `${exitCode}${stdout}`)).toEqual(pods.map(() => "0"));
    expect(box.leftovers()).toEqual(NOTHING);
    expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
  });

  test("ADDs and DELs mixed: the pods that stay pass CHECK", async () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    const [going, coming] = [box.pods(12), box.pods(12)];
    (await together(box, "ADD", going, conf)).map(resultOf);
    const [dels, adds] = await Promise.all([
      together(box, "DEL", going, conf),
      together(box, "ADD", coming, conf),
    ]);
    expect(dels.every(({ exitCode }) => exitCode === 0)).toBe(true);
    for (const [index, done] of adds.entries()) {
      const pod = coming[index];
      const prevResult = resultOf(done);
      if (pod !== undefined) expect(box.call("CHECK", pod, box.conf({ prevResult })).stdout).toBe("");
    }
    expect(box.natRules(4).filter((line) => line.startsWith("-A POSTROUTING"))).toHaveLength(1);
    expect(box.reservations()).toHaveLength(24);
  });

  test("the same DEL eight times at once succeeds each time", async () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    const dels = await together(box, "DEL", new Array<Pod>(8).fill(pod), box.conf());
    expect(dels.map(({ exitCode, stdout }) => `${exitCode}${stdout}`)).toEqual(dels.map(() => "0"));
    expect(box.leftovers()).toEqual(NOTHING);
  });
});

describe("kill -9", () => {
  test("60 ADDs killed at any point: reservations are whole, and DEL takes all back", async () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    const pods = box.pods(60);
    let finished = 0;
    for (let at = 0; at < pods.length; at += 6) {
      const calls = pods.slice(at, at + 6).map(async (pod) => {
        const call = box.start("ADD", pod, conf);
        await Bun.sleep(Math.random() * 60);
        call.kill();
        if ((await call.done).exitCode === 0) finished++;
      });
      await Promise.all(calls);
    }
    expect(finished).toBeLessThan(pods.length);
    await box.settled();
    for (const name of box.reservations()) {
      expect(name).toMatch(/^(10\.7\.0\.\d+|fd00:7::[0-9a-f]+)$/);
      expect(await Bun.file(`${box.dataDir}/net1/${name}`).text()).toMatch(/^pod\d+\r\neth0$/);
    }
    for (const pod of pods) expect(box.call("DEL", { ...pod, netns: "" }, conf).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
    expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
    for (const pod of pods) expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);

    const after = box.pod();
    box.add(after, conf);
    expect(box.pings(after.netns, "10.7.0.1")).toBe(true);
  });

  test("DELs killed at any point: the next DEL ends the work", async () => {
    const box = new Sandbox();
    const pods = box.pods(16);
    (await together(box, "ADD", pods, box.conf())).map(resultOf);
    const calls = pods.map(async (pod) => {
      const call = box.start("DEL", pod);
      await Bun.sleep(Math.random() * 80);
      call.kill();
      await call.done;
    });
    await Promise.all(calls);
    for (const pod of pods) expect(box.call("DEL", pod).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });
});

describe("a /29", () => {
  test("gives exactly its five addresses, then code 11; each DEL makes room for one", async () => {
    const box = new Sandbox();
    const conf = box.conf({}, { ranges: [[{ subnet: "10.7.0.0/29" }]], routes: [] });
    const pods = box.pods(8);
    const done = await together(box, "ADD", pods, conf);
    const addresses = done
      .filter(({ exitCode }) => exitCode === 0)
      .flatMap((it) => addressesOf(resultOf(it)));
    expect(addresses.sort()).toEqual(["10.7.0.2", "10.7.0.3", "10.7.0.4", "10.7.0.5", "10.7.0.6"]);
    for (const failed of done.filter(({ exitCode }) => exitCode !== 0)) {
      const error = errorOf(failed);
      expect(error.code).toBe(11);
      expect(error.msg).toContain("10.7.0.1-10.7.0.6");
    }
    expect(box.leftovers()).toMatchObject({
      reservations: { length: 5 },
      links: { length: 5 },
      records: { length: 5 },
    });

    const isIn = (index: number) => done[index]?.exitCode === 0;
    const inside = pods.filter((_, index) => isIn(index));
    const outside = pods.filter((_, index) => !isIn(index));
    for (const [index, pod] of inside.slice(0, 2).entries()) {
      const next = outside[index];
      if (next === undefined) throw new Error("eight pods for five addresses leave three out");
      expect(box.call("DEL", pod, conf).exitCode).toBe(0);
      expect(addressesOf(box.add(next, conf))).toHaveLength(1);
      expect(errorOf(box.call("ADD", pod, conf)).code).toBe(11);
    }
  });

  test("with a second, full set: the address of the first set is given back", () => {
    const box = new Sandbox();
    const conf = box.conf({}, { ranges: [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd00:7::/126" }]] });
    const pods = box.pods(3);
    for (const pod of pods.slice(0, 2)) box.add(pod, conf);
    const before = box.leftovers();
    expect(errorOf(box.call("ADD", pods[2] ?? box.pod(), conf)).code).toBe(11);
    expect(box.leftovers()).toEqual(before);
  });
});
