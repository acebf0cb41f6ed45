import { describe, expect, test } from "bun:test";
import { checkForAdd, parseJson, parseNetConf, requestedMac } from "../../../src/cni/config.ts";
import { canonicalKeys } from "../../../src/cni/keys.ts";
import { thrown } from "../../twin/words.ts";

const LEAST = { cniVersion: "1.0.0", name: "pods", type: "minicni" };
const conf = (more: object = {}) => parseNetConf(canonicalKeys({ ...LEAST, ...more }));

describe("parseJson", () => {
  test.each(["", "{", "nonsense", '{"name":}', '{"a":1}{"b":2}'])("%j is code 6", (text) => {
    expect(thrown(() => parseJson(text))).toMatchObject({
      code: 6,
      message: expect.stringContaining("error unmarshall network config: "),
    });
  });

  test("matches known keys without regard to case, all the way down", () => {
    expect(
      parseJson('{"CNIVERSION":"1.0.0","IPAM":{"Ranges":[[{"SubNet":"10.0.0.0/8"}]]},"DNS":{"Servers":1}}'),
    ).toEqual({ cniVersion: "1.0.0", ipam: { ranges: [[{ subnet: "10.0.0.0/8" }]] }, dns: { Servers: 1 } });
  });

  test("prefers the exact spelling, whichever comes first", () => {
    expect(parseJson('{"Name":"a","name":"b"}')).toEqual({ name: "b" });
    expect(parseJson('{"name":"b","Name":"a"}')).toEqual({ name: "b" });
  });

  test("takes __proto__ as a key like any other", () => {
    expect(conf(JSON.parse('{"__proto__":{"mtu":1}}')).raw.mtu).toBeUndefined();
  });
});

describe("parseNetConf", () => {
  test("fills in bridge and state folder", () => {
    expect(conf()).toMatchObject({
      cniVersion: "1.0.0",
      network: "pods",
      bridge: "minicni0",
      stateDir: "/run/minicni",
    });
  });

  test("takes null and the empty text for absent", () => {
    const nulls = conf({
      bridge: null,
      mtu: null,
      ipam: null,
      dns: null,
      runtimeConfig: { mac: null },
      stateDir: "",
    });
    expect(nulls).toMatchObject({ bridge: "minicni0", stateDir: "/run/minicni" });
    expect(() => checkForAdd(nulls)).not.toThrow();
  });

  test("leaves unknown keys alone", () => {
    expect(() =>
      conf({ "io.example.x": { deep: [1] }, runtimeConfig: { portMappings: null } }),
    ).not.toThrow();
  });

  test.each([
    [{ mtu: "1500" }, 'mtu: expected number, got "1500"'],
    [{ isGateway: "yes" }, 'isGateway: expected boolean, got "yes"'],
    [{ ipam: { ranges: [[{}]] } }, 'ipam.ranges.0.0.subnet: expected "subnet", got undefined'],
    [{ mtu: -1 }, "mtu: expected >=0, got -1"],
    [{ mtu: 70000 }, "mtu: expected <=65535, got 70000"],
  ])("%j is code 6 with the path, wanted and actual", (more, details) => {
    expect(thrown(() => conf(more))).toMatchObject({
      code: 6,
      message: `error unmarshall network config: ${details}`,
      details,
    });
  });

  test.each(["null", "[]", "3", '"x"'])("the document %s is code 6: no JSON object", (text) => {
    expect(thrown(() => parseNetConf(parseJson(text)))).toMatchObject({ code: 6 });
  });

  test.each([
    [{ cniVersion: "1.2.0" }, 1, "incompatible CNI versions", /config is "1\.2\.0"/],
    [{ cniVersion: "1.1" }, 1, "incompatible CNI versions", /config is "1\.1"/],
    [{ name: "" }, 7, "missing network name", /^$/],
    [{ name: null }, 7, "missing network name", /^$/],
    [{ name: "a/b" }, 7, "invalid characters found in network name", /^name=a\/b$/],
    [{ name: ".." }, 7, "invalid characters found in network name", /^name=\.\.$/],
    [
      { name: "a".repeat(201) },
      7,
      "network name is too long",
      /^name has 201 characters, at most 200 can be kept$/,
    ],
    [{ ipam: [] }, 6, "error unmarshall network config: ipam: expected unknown, got Array", /^ipam/],
    [{ stateDir: "run" }, 7, "stateDir must be an absolute path", /^stateDir=run$/],
    [{ ipam: { dataDir: "../x" } }, 7, "ipam.dataDir must be an absolute path", /^ipam\.dataDir=\.\.\/x$/],
  ])("%j is code %d: %s", (more, code, message, details) => {
    expect(thrown(() => conf(more))).toMatchObject({
      code,
      message,
      details: expect.stringMatching(details),
    });
  });
});

describe("checkForAdd", () => {
  test("accepts what the reference accepts and changes nothing", () => {
    const full = { vlan: 0, vlanTrunk: [], macspoofchk: false, ipMasq: true, ipMasqBackend: "iptables" };
    expect(() => checkForAdd(conf({ ...full, ipam: { type: "host-local" } }))).not.toThrow();
  });

  test.each([
    [
      { bridge: "sixteen-chars-xx" },
      7,
      "invalid bridge name: interface name is too long",
      "bridge=sixteen-chars-xx",
    ],
    [{ type: "../minicni" }, 7, "type must not contain / or \\", "type=../minicni"],
    [{ bridge: "a#b" }, 7, "invalid bridge name: unusable characters", "bridge=a#b"],
    [
      { hairpinMode: true, promiscMode: true },
      7,
      "cannot set hairpin mode and promiscuous mode at the same time",
      "choose one of hairpinMode=true and promiscMode=true",
    ],
    [{ vlan: 4095 }, 7, "invalid VLAN ID 4095 (must be between 0 and 4094)", "vlan=4095"],
    [{ vlan: -1 }, 7, "invalid VLAN ID -1 (must be between 0 and 4094)", "vlan=-1"],
    [
      { disableContainerInterface: true, ipam: { type: "host-local" } },
      7,
      "cannot use IPAM when DisableContainerInterface flag is set",
      "ipam.type=host-local",
    ],
    [
      { disableContainerInterface: true, cniVersion: "0.2.0" },
      7,
      "cannot convert: no valid IP addresses",
      "cniVersion=0.2.0 has no result without an address",
    ],
    [{ ipMasqBackend: "ipfw" }, 2, 'unsupported field: ipMasqBackend="ipfw"', "wanted: iptables or nftables"],
  ])("%j is code %d: %s", (more, code, message, details) => {
    // What DEL reads must pass: a DEL never fails for a field that only ADD uses.
    const parsed = conf(more);
    expect(thrown(() => checkForAdd(parsed))).toMatchObject({ code, message, details });
  });
});

describe("requestedMac", () => {
  const args = new Map([["MAC", "02:00:00:00:00:03"]]);

  test("prefers runtimeConfig, then args.cni, then CNI_ARGS, then the configuration", () => {
    const cni = { args: { cni: { mac: "02:00:00:00:00:02" } } };
    const all = conf({ ...cni, runtimeConfig: { mac: "02:00:00:00:00:01" } });
    expect(requestedMac(all, args)).toBe("02:00:00:00:00:01");
    expect(requestedMac(conf(cni), args)).toBe("02:00:00:00:00:02");
    const own = conf({ mac: "02:00:00:00:00:04" });
    expect(requestedMac(own, args)).toBe("02:00:00:00:00:03");
    expect(requestedMac(own, new Map())).toBe("02:00:00:00:00:04");
    expect(requestedMac(conf(), new Map())).toBeNull();
  });

  test("refuses a multicast MAC with code 7", () => {
    expect(thrown(() => requestedMac(conf(), new Map([["MAC", "01:00:00:00:00:00"]])))).toMatchObject({
      code: 7,
      message: "invalid MAC address: 01:00:00:00:00:00",
      details: "wanted: unicast, aa:bb:cc:dd:ee:ff",
    });
  });
});

describe("the form of Go minicni", () => {
  const old = { cniVersion: "0.1.0", name: "minicni", type: "minicni", bridge: "minicni0", mtu: 1500 };

  test("is one range with a default route", () => {
    const { raw, dataDir } = parseNetConf({ ...old, subnet: "10.244.1.0/24", dataDir: "/d" });
    expect(raw.ipam?.ranges).toEqual([[{ subnet: "10.244.1.0/24" }]]);
    expect({ isDefaultGateway: raw.isDefaultGateway, dataDir }).toEqual({
      isDefaultGateway: true,
      dataDir: "/d",
    });
  });

  test.each([
    ["an ipam section says more", { ipam: { subnet: "10.1.0.0/16" } }, { subnet: "10.1.0.0/16" }],
    ["another plugin's subnet is its own", { type: "other", subnet: 7 }, undefined],
  ])("%s", (_what, more, ipam) => {
    expect(parseNetConf({ ...old, subnet: "10.244.1.0/24", ...more }).raw.ipam).toEqual(ipam);
  });

  test("with a subnet that is no text is refused, but for a DEL", () => {
    expect(thrown(() => parseNetConf({ ...old, subnet: 7 }))).toMatchObject({
      code: 7,
      message: "subnet must be a network such as 10.244.1.0/24",
      details: "subnet=7",
    });
    expect(parseNetConf({ ...old, subnet: 7 }, true).raw.ipam).toBeUndefined();
  });
});
