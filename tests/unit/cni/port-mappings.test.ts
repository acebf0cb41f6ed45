import { describe, expect, test } from "bun:test";
import { checkForAdd, parseJson, parseNetConf } from "../../../src/cni/config.ts";
import {
  parseHostPortBackend,
  parseHostPortOptions,
  parsePortMappings,
} from "../../../src/cni/port-mappings.ts";
import { formatHostPort } from "../../../src/net/host-port.ts";
import { thrown } from "../../twin/words.ts";

const conf = (more: object) =>
  parseNetConf(parseJson(JSON.stringify({ cniVersion: "1.0.0", name: "pods", type: "minicni", ...more })));
const asked = (...portMappings: object[]) => conf({ runtimeConfig: { portMappings } });
const told = (...mappings: object[]) =>
  parsePortMappings(asked(...mappings)).map((port) => `${formatHostPort(port)} ${port.containerPort}`);

describe("parsePortMappings", () => {
  test("nothing asked for is no port", () => {
    expect(parsePortMappings(conf({}))).toEqual([]);
    expect(parsePortMappings(conf({ runtimeConfig: {} }))).toEqual([]);
    expect(parsePortMappings(conf({ runtimeConfig: { portMappings: null } }))).toEqual([]);
    expect(told()).toEqual([]);
  });

  test("reads each of a mapping's keys, in whatever case they and the protocol come", () => {
    expect(
      told(
        { hostPort: 8080, containerPort: 80, protocol: "tcp" },
        { HostPort: 53, ContainerPort: 5353, Protocol: "UDP", HostIP: "192.0.2.1" },
        { hostPort: 9, containerPort: 99, protocol: "Sctp", hostIP: "2001:DB8::1" },
      ),
    ).toEqual(["tcp 8080 80", "udp 192.0.2.1:53 5353", "sctp [2001:db8::1]:9 99"]);
  });

  test("without protocol it is TCP, with an empty hostIP any address", () => {
    expect(told({ hostPort: 1, containerPort: 65535 })).toEqual(["tcp 1 65535"]);
    expect(told({ hostPort: 1, containerPort: 1, protocol: "", hostIP: "" })).toEqual(["tcp 1 1"]);
    expect(told({ hostPort: 1, containerPort: 1, protocol: null, hostIP: null })).toEqual(["tcp 1 1"]);
  });

  test("the same mapping twice counts once", () => {
    const one = { hostPort: 80, containerPort: 80, protocol: "tcp" };
    expect(told(one, { ...one, protocol: "TCP" })).toEqual(["tcp 80 80"]);
  });

  test("one port of both families, or of two addresses, is no collision", () => {
    const [four, six] = ["0.0.0.0", "::"].map((hostIP) => ({ hostPort: 80, containerPort: 80, hostIP }));
    expect(told(four ?? {}, six ?? {})).toEqual(["tcp 0.0.0.0:80 80", "tcp [::]:80 80"]);
  });

  test.each([
    [{ hostPort: 0, containerPort: 80 }, "Invalid host port number: 0"],
    [{ containerPort: 80 }, "Invalid host port number: 0"],
    [{ hostPort: -1, containerPort: 80 }, "Invalid host port number: -1"],
    [{ hostPort: 65536, containerPort: 80 }, "Invalid host port number: 65536"],
    [{ hostPort: 80.5, containerPort: 80 }, "Invalid host port number: 80.5"],
    [{ hostPort: 80, containerPort: 0 }, "Invalid container port number: 0"],
    [{ hostPort: 80 }, "Invalid container port number: 0"],
    [{ hostPort: 80, containerPort: 65536 }, "Invalid container port number: 65536"],
    [{ hostPort: 80, containerPort: 80, protocol: "icmp" }, 'unknown protocol "icmp"'],
    [{ hostPort: 80, containerPort: 80, protocol: "tcp " }, 'unknown protocol "tcp "'],
    [{ hostPort: 80, containerPort: 80, hostIP: "localhost" }, 'invalid hostIP "localhost"'],
    [{ hostPort: 80, containerPort: 80, hostIP: "192.0.2.1/32" }, 'invalid hostIP "192.0.2.1/32"'],
    [{ hostPort: 80, containerPort: 80, hostIP: "[::1]" }, 'invalid hostIP "[::1]"'],
    [{ hostPort: 80, containerPort: 80, hostIP: "fe80::1%eth0" }, 'invalid hostIP "fe80::1%eth0"'],
  ])("refuses %j (7)", (mapping, message) => {
    expect(thrown(() => told(mapping))).toMatchObject({
      code: 7,
      message: expect.stringContaining(message),
      details: expect.stringMatching(/wanted: /),
    });
  });

  test.each([
    [
      { hostPort: 80, containerPort: 80 },
      { hostPort: 80, containerPort: 81 },
    ],
    [
      { hostPort: 80, containerPort: 80 },
      { hostPort: 80, containerPort: 80, hostIP: "192.0.2.1" },
    ],
    [
      { hostPort: 80, containerPort: 80, hostIP: "::" },
      { hostPort: 80, containerPort: 80 },
    ],
  ])("refuses %j and %j in one request (7), and names both", (a, b) => {
    expect(thrown(() => told(a, b))).toMatchObject({
      code: 7,
      message: expect.stringContaining("is asked for twice"),
      details: expect.stringMatching(/to 8\d by tcp.*, to 8\d by tcp/),
    });
  });

  test("numbers as text are refused as the configuration they are", () => {
    expect(thrown(() => asked({ hostPort: "80", containerPort: 80 }))).toMatchObject({
      details: expect.stringContaining("portMappings"),
    });
  });
});

describe("parseHostPortOptions", () => {
  test("the defaults of portmap, with localhost off", () => {
    expect(parseHostPortOptions(conf({}))).toEqual({
      snat: true,
      masqAll: false,
      markBit: 13,
      externalSetMarkChain: null,
      conditions: { 4: [], 6: [] },
      localhost: false,
    });
  });

  test("each key of the configuration", () => {
    const keys = { snat: false, masqAll: true, markMasqBit: 0, hostPortLocalhost: true };
    const conditions = { conditionsV4: ["!", "-s", "192.0.2.0/24"], conditionsV6: ["-i", "eth0"] };
    expect(parseHostPortOptions(conf({ ...keys, ...conditions }))).toEqual({
      snat: false,
      masqAll: true,
      markBit: 0,
      externalSetMarkChain: null,
      conditions: { 4: ["!", "-s", "192.0.2.0/24"], 6: ["-i", "eth0"] },
      localhost: true,
    });
    expect(parseHostPortOptions(conf({ externalSetMarkChain: "KUBE-MARK-MASQ" }))).toMatchObject({
      externalSetMarkChain: "KUBE-MARK-MASQ",
    });
    expect(parseHostPortOptions(conf({ externalSetMarkChain: "" })).externalSetMarkChain).toBeNull();
  });

  test.each([
    [{ markMasqBit: 32 }, 7, "between 0 and 31"],
    [{ markMasqBit: -1 }, 7, "between 0 and 31"],
    [{ markMasqBit: 1.5 }, 7, "between 0 and 31"],
    [{ markMasqBit: 5, externalSetMarkChain: "X" }, 7, "Cannot specify externalSetMarkChain and markMasqBit"],
    [{ externalSetMarkChain: "a chain" }, 7, "no chain's name"],
    [{ externalSetMarkChain: "X".repeat(29) }, 7, "no chain's name"],
    [{ externalSetMarkChain: "X\nCOMMIT" }, 7, "no chain's name"],
    [{ externalSetMarkChain: "X", backend: "nftables" }, 2, "unsupported field"],
    [{ conditionsV4: ["-i", "eth0\nCOMMIT"] }, 7, "conditionsV4 has a word"],
    [{ conditionsV4: ["-i", ""] }, 7, "conditionsV4 has a word"],
    [{ conditionsV6: ['"'] }, 7, "conditionsV6 has a word"],
    [{ conditionsV6: ["; drop"] }, 7, "conditionsV6 has a word"],
    [{ conditionsV6: ["\\"] }, 7, "conditionsV6 has a word"],
  ])("refuses %j (%d)", (keys, code, message) => {
    const error = thrown(() => parseHostPortOptions(conf(keys)));
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });
});

describe("parseHostPortBackend", () => {
  test.each([
    [{}, null],
    [{ backend: "" }, null],
    [{ backend: null }, null],
    [{ backend: "iptables" }, "iptables"],
    [{ backend: "nftables" }, "nftables"],
  ] as const)("%j: %p", (keys, expected) => {
    expect(parseHostPortBackend(conf(keys))).toBe(expected);
  });

  test("another one is refused (2)", () => {
    expect(thrown(() => parseHostPortBackend(conf({ backend: "foo" })))).toMatchObject({
      code: 2,
      message: expect.stringContaining('backend="foo"'),
      details: "wanted: iptables or nftables",
    });
  });
});

test("a configuration with all these keys is a good one for ADD", () => {
  const keys = { snat: true, masqAll: false, markMasqBit: 3, conditionsV4: [], conditionsV6: null };
  checkForAdd(conf({ ...keys, backend: "nftables", hostPortLocalhost: true }));
});
