import { describe, expect, test } from "bun:test";
import { formatResult, type Result } from "../../../src/cni/result.ts";
import { SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";
import { address, prefix } from "../../twin/words.ts";

const DUAL: Result = {
  interfaces: [
    { name: "minicni0", mac: "0a:58:0a:01:00:01", mtu: 1450, sandbox: "" },
    { name: "eth0", mac: "0a:58:0a:01:00:02", mtu: 1450, sandbox: "/run/netns/a" },
  ],
  ips: [
    { address: prefix("10.1.0.2/24"), gateway: address("10.1.0.1"), interface: 1 },
    { address: prefix("fd00::2/64"), gateway: address("fd00::1"), interface: 1 },
  ],
  routes: [
    { dst: prefix("0.0.0.0/0"), gw: address("10.1.0.1"), mtu: 1400, priority: 50 },
    { dst: prefix("fd01::/64"), gw: null },
  ],
  dns: { nameservers: ["10.96.0.10"], domain: "", search: [], options: null },
};

const INTERFACES =
  '"interfaces":[{"name":"minicni0","mac":"0a:58:0a:01:00:01"},{"name":"eth0","mac":"0a:58:0a:01:00:02","sandbox":"/run/netns/a"}]';
const OLD_IPS =
  '"ips":[{"version":"4","interface":1,"address":"10.1.0.2/24","gateway":"10.1.0.1"},{"version":"6","interface":1,"address":"fd00::2/64","gateway":"fd00::1"}]';
const IPS = OLD_IPS.replaceAll(/"version":"[46]",/g, "");
const ROUTES = '"routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"},{"dst":"fd01::/64"}]';
const DNS = '"dns":{"nameservers":["10.96.0.10"]}';

describe("a full result", () => {
  test.each(["0.3.0", "0.3.1", "0.4.0"] as const)("of %s tells each address's version", (version) => {
    expect(formatResult(version, DUAL)).toBe(
      `{"cniVersion":"${version}",${INTERFACES},${OLD_IPS},${ROUTES},${DNS}}`,
    );
  });

  test("of 1.0.0 has no address version and no MTU", () => {
    expect(formatResult("1.0.0", DUAL)).toBe(`{"cniVersion":"1.0.0",${INTERFACES},${IPS},${ROUTES},${DNS}}`);
  });

  test("of 1.1.0 has MTU of interfaces and the numbers of routes", () => {
    const interfaces =
      '"interfaces":[{"name":"minicni0","mac":"0a:58:0a:01:00:01","mtu":1450},{"name":"eth0","mac":"0a:58:0a:01:00:02","mtu":1450,"sandbox":"/run/netns/a"}]';
    const routes =
      '"routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1","mtu":1400,"priority":50},{"dst":"fd01::/64"}]';
    expect(formatResult("1.1.0", DUAL)).toBe(`{"cniVersion":"1.1.0",${interfaces},${IPS},${routes},${DNS}}`);
  });
});

describe("an empty result", () => {
  const EMPTY: Result = { interfaces: [], ips: [], routes: [], dns: {} };

  test("still has dns up to 0.4.0", () => {
    expect(formatResult("0.4.0", EMPTY)).toBe('{"cniVersion":"0.4.0","dns":{}}');
  });

  test("leaves dns and routes out from 1.0.0 on", () => {
    expect(formatResult("1.0.0", EMPTY)).toBe('{"cniVersion":"1.0.0"}');
  });
});

test("every version gives one line of JSON that names it", () => {
  for (const version of SUPPORTED_VERSIONS) {
    const text = formatResult(version, DUAL);
    expect(text).not.toContain("\n");
    expect(JSON.parse(text)).toMatchObject({ cniVersion: version });
  }
});
