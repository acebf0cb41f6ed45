import { describe, expect, test } from "bun:test";
import { formatOperation, formatStep } from "../../../src/plan/format.ts";
import { HOST, type Operation } from "../../../src/plan/step.ts";
import { address, thrown } from "../../twin/words.ts";

describe("the commands of a tunnel", () => {
  const commands: [Operation, string][] = [
    [
      {
        op: "link.add",
        link: {
          kind: "vxlan",
          name: "minicni.vxlan",
          mac: "0e:00:00:00:00:01",
          mtu: 1450,
          vni: 157,
          port: 8472,
          local: address("10.0.0.1"),
        },
      },
      "ip link add name minicni.vxlan mtu 1450 address 0e:00:00:00:00:01 type vxlan id 157 dstport 8472 local 10.0.0.1 nolearning",
    ],
    [
      {
        op: "link.add",
        link: {
          kind: "vxlan",
          name: "minicni.vxlan6",
          mac: "0e:00:00:00:00:01",
          mtu: 1430,
          vni: 16777215,
          port: 4789,
          local: address("fd00::1"),
        },
      },
      "ip link add name minicni.vxlan6 mtu 1430 address 0e:00:00:00:00:01 type vxlan id 16777215 dstport 4789 local fd00::1 nolearning",
    ],
    [
      {
        op: "fdb.replace",
        dev: "minicni.vxlan",
        mac: "0e:00:00:00:00:02",
        dst: address("10.0.0.9"),
      },
      "bridge fdb replace 0e:00:00:00:00:02 dev minicni.vxlan dst 10.0.0.9 self permanent",
    ],
    [
      { op: "fdb.del", dev: "minicni.vxlan6", mac: "0e:00:00:00:00:02", dst: address("fd00::9") },
      "bridge fdb del 0e:00:00:00:00:02 dev minicni.vxlan6 dst fd00::9 self",
    ],
    [
      { op: "neigh.replace", dev: "a", address: address("fd05::"), mac: "0e:00:00:00:00:02" },
      "ip neigh replace fd05:: dev a lladdr 0e:00:00:00:00:02 nud permanent",
    ],
    [
      { op: "neigh.del", dev: "a", address: address("10.5.0.0"), mac: "0e:00:00:00:00:02" },
      "ip neigh del 10.5.0.0 dev a",
    ],
    [
      { op: "link.offload", name: "minicni.vxlan", txChecksum: false },
      "ethtool -K minicni.vxlan tx-checksum-ip-generic off",
    ],
    [{ op: "link.offload", name: "a", txChecksum: true }, "ethtool -K a tx-checksum-ip-generic on"],
  ];

  test.each(commands.map(([operation, text]) => [text, operation] as const))(
    "writes %s",
    (text, operation) => {
      expect(formatStep({ ...operation, netns: HOST, why: "a test" })).toBe(text);
    },
  );

  test.each(["a#b", "a b"])("refuses the device %j in a forwarding entry", (dev) => {
    const entry = { mac: "0e:00:00:00:00:02", dst: address("10.0.0.9") };
    expect(thrown(() => formatOperation({ op: "fdb.replace", dev, ...entry }))).toMatchObject({
      message: `word ${JSON.stringify(dev)} can't stand in a bridge batch`,
    });
  });
});
