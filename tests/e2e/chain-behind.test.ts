import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { destroySandboxes } from "../kernel/sandbox.ts";
import { BANDWIDTH, ChainLab, MAPPING, PORTMAP, RATE, VERSIONS } from "./chain.ts";
import { type ListResult, SIDE } from "./conflist.ts";
import { stopServers } from "./traffic.ts";

setDefaultTimeout(30_000);

let lab: ChainLab;
beforeAll(async () => {
  lab = new ChainLab();
  await lab.begin();
});
afterAll(() => {
  stopServers();
  destroySandboxes();
});

describe.each(VERSIONS)("a list of version %s with minicni further behind", (cniVersion) => {
  /** The earlier plugin's part of the result comes first, unchanged; our indices are moved behind it. */
  function expectMerged(result: ListResult, device: string, addresses: readonly string[]): void {
    const names = result.interfaces.map(({ name }) => name);
    expect(names.filter((name) => !name.startsWith("mcni"))).toEqual([device, "br0", "eth0"]);
    const ips = result.ips.map((ip) => [
      names[ip.interface ?? -1],
      ip.address.replace(/^(10\.7|fd00:7:).*/, "$1"),
    ]);
    const ours = [
      ["eth0", "10.7"],
      ["eth0", "fd00:7:"],
    ];
    expect(ips).toEqual([...addresses.map((address) => [device, address]), ...ours]);
  }

  test("last, after loopback", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [{ type: "loopback" }, lab.minicni]), {}, (pod, result) => {
      expectMerged(result, "lo", ["127.0.0.1/8", "::1/128"]);
      lab.expectConnected(pod);
    });
  });

  test("last, after a plugin with an interface, an address and a route of its own", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [SIDE, lab.minicni]), {}, (pod, result) => {
      expectMerged(result, "side0", ["192.168.77.2/24"]);
      expect(result.routes?.map(({ dst }) => dst)).toEqual(["192.168.78.0/24", "0.0.0.0/0", "::/0"]);
      lab.expectConnected(pod);
    });
  });

  test("in the middle: the plugins behind find our interface among the others", async () => {
    const args = { ...MAPPING, ...RATE };
    await lab.roundTrip(
      lab.runtime(cniVersion, [SIDE, lab.minicni, BANDWIDTH, PORTMAP]),
      args,
      async (pod, result) => {
        lab.expectShaping(result);
        await lab.expectHostPort(pod);
      },
    );
  });
});
