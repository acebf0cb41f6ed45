import { describe, expect, test } from "bun:test";
import type { Fields, Journal } from "../../../../src/entry/agent/journal.ts";
import { createOffloadProbe, type ProbedTunnel } from "../../../../src/entry/agent/offload.ts";
import type { StepFailure } from "../../../../src/host/machine.ts";
import type { RefusalRequest } from "../../../../src/host/probe.ts";
import { type Address, formatAddress, parseAddress } from "../../../../src/net/address.ts";
import type { Plan } from "../../../../src/plan/step.ts";

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

const MTU = 1450;
const DEVICE = "minicni.vxlan";
const TUNNEL: ProbedTunnel = {
  name: DEVICE,
  index: 7,
  underlay: "eth0 192.0.2.1",
  mtu: MTU,
  self: address("10.244.1.0"),
  peers: [address("10.244.2.0"), address("10.244.3.0")],
};

/** A machine with one device, on a network that does what the test says. */
function stage(
  more: { peersUp?: boolean; isBroken?: boolean; isOn?: boolean | null; refuses?: boolean } = {},
) {
  const world = {
    peersUp: true,
    isBroken: false,
    isOn: true as boolean | null,
    refuses: false,
    nowMs: 0,
    ...more,
  };
  const asked: string[] = [];
  const told: string[] = [];
  const switched: boolean[] = [];
  const metered: string[] = [];
  const note =
    (level: string) =>
    (event: string, fields: Fields = {}) =>
      void told.push([level, event, fields.change ?? "", fields.cured ?? ""].join(" ").trim());
  const faults = new Map<string, string>();
  const journal: Journal = {
    info: note("info"),
    warn: note("warn"),
    state: (key, fault, fields) => {
      if (faults.get(key) === (fault ?? undefined)) return;
      if (fault === null) faults.delete(key);
      else faults.set(key, fault);
      note("state")(`${key}: ${fault}`, fields);
    },
  };
  const ask = async ({ address: peer, bytes }: RefusalRequest) => {
    asked.push(`${formatAddress(peer)} ${bytes}`);
    return world.peersUp && (bytes >= MTU || !(world.isBroken && world.isOn === true));
  };
  const executeEach = async (plan: Plan): Promise<StepFailure[]> =>
    plan.flatMap((step) => {
      if (step.op !== "link.offload") throw new Error(step.op);
      if (world.refuses) return [{ step, command: "ethtool …", message: "Operation not permitted" }];
      switched.push(step.txChecksum);
      world.isOn = step.txChecksum;
      return [];
    });
  const probe = createOffloadProbe({
    host: { txChecksum: () => world.isOn, executeEach, sleep: async () => undefined },
    journal,
    metrics: {
      offload: (device, isOn) => void metered.push(`${device} ${isOn}`),
      repair: (what, cause) => void metered.push(`repair ${what} ${cause}`),
    },
    now: () => world.nowMs,
    ask,
  });
  /** One pass, and whatever it started brought to its end. */
  const pass = async (...tunnels: ProbedTunnel[]) => {
    probe.resync(tunnels);
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
  };
  return { world, asked, told, switched, metered, probe, pass };
}

describe("the offload of a tunnel", () => {
  test("that works stays on, told once, and is not tested again", async () => {
    const { pass, asked, told, switched, metered } = stage();
    await pass(TUNNEL);
    expect(asked.sort()).toEqual(["10.244.2.0 1450", "10.244.2.0 32", "10.244.3.0 1450", "10.244.3.0 32"]);
    for (let count = 0; count < 5; count++) await pass(TUNNEL);
    expect([asked.length, told, switched]).toEqual([4, ["info checksum offload works"], []]);
    expect(metered).toContain("minicni.vxlan true");
  });

  test("that is broken is switched off, told once with the change, and counted", async () => {
    const { pass, told, switched, metered } = stage({ isBroken: true });
    for (let count = 0; count < 5; count++) await pass(TUNNEL);
    expect(switched).toEqual([false]);
    expect(told).toEqual([
      "state checksum offload minicni.vxlan: is broken here, switched off tx-checksum-ip-generic off true",
    ]);
    expect(metered.filter((line) => line.startsWith("repair"))).toEqual(["repair link start"]);
    expect(metered.at(-1)).toBe("minicni.vxlan false");
  });

  test("that is broken and switched on by somebody is switched off again", async () => {
    const { pass, world, switched, metered } = stage({ isBroken: true });
    await pass(TUNNEL);
    world.isOn = true;
    await pass(TUNNEL);
    expect([switched, world.isOn]).toEqual([[false, false], false]);
    expect(metered).toContain("repair link kernel");
  });

  test("that can't be switched off is told, tried on every pass, and told when it went", async () => {
    const { pass, world, told } = stage({ isBroken: true, refuses: true });
    await pass(TUNNEL);
    await pass(TUNNEL);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain("could not be switched off");
    world.refuses = false;
    await pass(TUNNEL);
    expect(told.at(-1)).toContain("is broken here, switched off");
  });

  test("is left on while nobody answers, and tested again only after a while", async () => {
    const { pass, world, asked, told, switched } = stage({ peersUp: false, isBroken: true });
    await pass(TUNNEL);
    world.nowMs = 29_999;
    await pass(TUNNEL);
    expect(asked).toHaveLength(4);
    for (const nowMs of [30_000, 90_000]) {
      world.nowMs = nowMs;
      await pass(TUNNEL);
    }
    expect([asked.length, switched]).toEqual([12, []]);
    expect(told).toEqual([expect.stringContaining("no peer answers over the tunnel")]);
    world.peersUp = true;
    world.nowMs = 1_000_000;
    await pass(TUNNEL);
    expect(switched).toEqual([false]);
  });

  test("that was off when we came is left off, and tested once somebody switches it on", async () => {
    const { pass, world, asked, told, switched } = stage({ isOn: false });
    await pass(TUNNEL);
    await pass(TUNNEL);
    expect([asked, switched, told]).toEqual([[], [], ["info checksum offload is off already, left so"]]);
    world.isOn = true;
    await pass(TUNNEL);
    expect(asked).toHaveLength(4);
  });

  test("of a device that does not tell, or in a cluster of one, is let alone", async () => {
    const untold = stage({ isOn: null });
    await untold.pass(TUNNEL);
    const alone = stage();
    await alone.pass({ ...TUNNEL, peers: [] });
    expect([untold.asked, untold.switched, alone.asked, alone.told]).toEqual([[], [], [], []]);
  });

  test("is tested again when the device or what it runs over changes", async () => {
    const { pass, world, asked } = stage();
    await pass(TUNNEL);
    await pass({ ...TUNNEL, underlay: "eth1 198.51.100.1" });
    expect(asked).toHaveLength(8);
    await pass({ ...TUNNEL, underlay: "eth1 198.51.100.1", index: 8 });
    expect(asked).toHaveLength(12);
    world.isBroken = true;
    await pass({ ...TUNNEL, index: 9 });
    expect(world.isOn).toBe(false);
    // The device is made again, with its offload on, as every device begins.
    world.isOn = true;
    world.isBroken = false;
    await pass({ ...TUNNEL, index: 10 });
    expect(world.isOn).toBe(true);
  });

  test("found broken is not switched on to see, when only the uplink changes", async () => {
    const { pass, asked, switched } = stage({ isBroken: true });
    await pass(TUNNEL);
    const before = asked.length;
    await pass({ ...TUNNEL, underlay: "eth1 198.51.100.1" });
    expect([switched, asked.length]).toEqual([[false], before]);
  });

  test("is of no interest once the device has gone, or the agent stops", async () => {
    const gone = stage({ isBroken: true });
    gone.probe.resync([TUNNEL]);
    await gone.pass();
    expect([gone.switched, gone.metered.at(-1)]).toEqual([[], "minicni.vxlan null"]);
    const stopped = stage({ isBroken: true });
    stopped.probe.resync([TUNNEL]);
    stopped.probe.close();
    await stopped.pass(TUNNEL);
    expect(stopped.switched).toEqual([]);
  });
});
