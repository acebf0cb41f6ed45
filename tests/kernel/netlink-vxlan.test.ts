import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { observeLink } from "../../src/host/links.ts";
import { observeForwarding, observeNeighbours } from "../../src/host/neighbours.ts";
import { inNetns } from "../../src/host/netns.ts";
import { observeTxChecksum, setTxChecksum } from "../../src/host/offload.ts";
import { formatAddress } from "../../src/net/address.ts";
import { address, thrown } from "../twin/words.ts";
import { json, nodeWith } from "./netlink.ts";
import { destroySandboxes, type Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const VXLAN =
  "link add name minicni.vxlan mtu 1450 address 0e:00:00:00:00:01 type vxlan id 157 dstport 8472 local 10.0.0.1 nolearning";
const VXLAN6 =
  "link add name minicni.vxlan6 mtu 1430 address 0e:00:00:00:00:01 type vxlan id 16777215 dstport 4789 local fd00::1";

interface PrintedNeighbour {
  readonly dst: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
}

describe("a VXLAN device", () => {
  const indexOf = (box: Sandbox, name: string) => inNetns(box.netns, () => observeLink(name))?.index ?? 0;

  test("shows its network, port, source and learning", () => {
    const box = nodeWith([VXLAN, VXLAN6, "link add bare type vxlan id 5 dstport 9999 dev v0"]);
    const seen = (name: string) => inNetns(box.netns, () => observeLink(name));
    expect(seen("minicni.vxlan")).toMatchObject({
      kind: "vxlan",
      mtu: 1450,
      mac: "0e:00:00:00:00:01",
      vxlan: { vni: 157, port: 8472, local: address("10.0.0.1"), learning: false },
    });
    expect(seen("minicni.vxlan6")?.vxlan).toEqual({
      vni: 16777215,
      port: 4789,
      local: address("fd00::1"),
      learning: true,
    });
    expect(seen("bare")?.vxlan).toEqual({ vni: 5, port: 9999, local: null, learning: true });
    expect(seen("v0")?.vxlan).toBeNull();
  });

  test("shows its permanent forwarding entries, and no other's", () => {
    const entries = [
      "fdb add 0e:00:00:00:00:aa dev minicni.vxlan dst 10.0.0.9 self permanent",
      "fdb add 0e:00:00:00:00:bb dev minicni.vxlan dst 10.0.0.10 self static",
      "fdb add 0e:00:00:00:00:cc dev minicni.vxlan dst 10.0.0.11 self dynamic",
      "fdb append 00:00:00:00:00:00 dev minicni.vxlan dst 10.0.0.12 self permanent",
      "fdb add 0e:00:00:00:00:dd dev minicni.vxlan6 dst fd00::9 self permanent",
    ];
    const box = nodeWith([VXLAN, VXLAN6], entries);
    const shown = (name: string) =>
      inNetns(box.netns, () => observeForwarding(indexOf(box, name)))
        .map(({ mac, dst }) => `${mac} ${formatAddress(dst)}`)
        .sort();
    expect(shown("minicni.vxlan")).toEqual(["0e:00:00:00:00:aa 10.0.0.9", "0e:00:00:00:00:bb 10.0.0.10"]);
    expect(shown("minicni.vxlan6")).toEqual(["0e:00:00:00:00:dd fd00::9"]);
    expect(shown("v0")).toEqual([]);
  });

  test("shows its neighbours of both families, as `ip neigh` does", () => {
    const box = nodeWith([
      VXLAN,
      "link set minicni.vxlan up",
      "neigh add 10.5.0.0 dev minicni.vxlan lladdr 0e:00:00:00:00:aa nud permanent",
      "neigh add fd05:: dev minicni.vxlan lladdr 0e:00:00:00:00:aa nud permanent",
      "neigh add 10.6.0.0 dev minicni.vxlan lladdr 0e:00:00:00:00:bb nud stale",
      "neigh add 10.7.0.0 dev v0 lladdr 0e:00:00:00:00:cc nud permanent",
    ]);
    const shown = inNetns(box.netns, () => observeNeighbours(indexOf(box, "minicni.vxlan")))
      .map(({ address: it, mac, isPermanent }) => `${formatAddress(it)} ${mac} ${isPermanent}`)
      .sort();
    const printed = json<PrintedNeighbour>(box, "ip", "-j", "neigh", "show", "dev", "minicni.vxlan")
      .map(({ dst, lladdr, state }) => `${dst} ${lladdr} ${state.includes("PERMANENT")}`)
      .sort();
    expect(shown).toEqual(printed);
    expect(shown).toHaveLength(3);
  });

  test("leaves checksums to hardware, and can be told not to", () => {
    const box = nodeWith([VXLAN]);
    inNetns(box.netns, () => {
      const states = [observeTxChecksum("minicni.vxlan")];
      for (const isOn of [false, false, true]) {
        setTxChecksum("minicni.vxlan", isOn);
        states.push(observeTxChecksum("minicni.vxlan"));
      }
      expect(states).toEqual([true, false, false, true]);
    });
  });
});

describe("checksum offload", () => {
  test("of no link is not known, and can't be set", () => {
    const box = nodeWith([]);
    for (const name of ["nosuch", "a-name-of-more-than-15"]) {
      expect(inNetns(box.netns, () => observeTxChecksum(name))).toBeNull();
      expect(thrown(() => inNetns(box.netns, () => setTxChecksum(name, false)))).toMatchObject({
        name: "HostError",
        message: `Cannot find device "${name}"`,
      });
    }
  });

  test("of a link that can't change it is told", () => {
    const box = nodeWith([]);
    expect(thrown(() => inNetns(box.netns, () => setTxChecksum("lo", false)))).toMatchObject({
      message: "lo can't change its checksum offload",
    });
  });
});
