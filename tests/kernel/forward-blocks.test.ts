import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { observeNftTable, observeNftTables } from "../../src/host/nft.ts";
import { describeForwardBlock } from "../../src/topology/forward-blocks.ts";
import { firewalldRules } from "../twin/firewalld.ts";
import { connectNode, hostIn, PEER_POD, POD, WISH } from "./rules-node.ts";
import { destroySandboxes, type Pod, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(60_000);

let box: Sandbox;
let pod: Pod;
let world: Pod;
beforeAll(() => {
  box = new Sandbox();
  ({ pod, world } = connectNode(box));
});
afterAll(destroySandboxes);

/** The node's rulesets are these alone; `p0` leads to the pod, `up0` to other nodes. */
function load(text: string): void {
  const done = run(["nsenter", `--net=${box.netns}`, "nft", "-f", "-"], { stdin: `flush ruleset\n${text}` });
  expect(done.stderr).toBe("");
}

/** What is found, one text a table. */
async function found(): Promise<string[]> {
  const host = hostIn(box.netns);
  const tables = await Promise.all((await observeNftTables(host)).map((name) => observeNftTable(host, name)));
  return tables.flatMap((table) => describeForwardBlock(table, { ...WISH, bridge: "p0" }) ?? []);
}

/** Which pings come through, from the pod and to it. */
function reached(): string {
  const ways = [
    ["from4", pod.netns, PEER_POD[0]],
    ["from6", pod.netns, PEER_POD[1]],
    ["to4", world.netns, POD[0]],
    ["to6", world.netns, POD[1]],
  ] as const;
  const open = ways.filter(([name, netns, address]) => {
    const source = name.startsWith("to") ? ["-I", name === "to4" ? PEER_POD[0] : PEER_POD[1]] : [];
    const words = ["ping", "-c", "1", "-W", "0.5", "-q", ...source, address];
    return run(["nsenter", `--net=${netns}`, ...words]).exitCode === 0;
  });
  return open.map(([name]) => name).join(" ");
}

const forward = (policy: string, ...rules: readonly string[]) =>
  `table inet foreign {\n chain forward {\n type filter hook forward priority filter + 5; policy ${policy};\n ${rules.join("\n ")}\n }\n}\n`;
const ALL = "from4 from6 to4 to6";
const SOURCES = ["10.244.0.0/16", "fd00:244::/32"];

describe("a ruleset that cuts pods off is told, and pings say so too", () => {
  test.each([
    [
      "a policy",
      forward("drop"),
      "",
      /foreign drops .*send to .*\(IPv4, IPv6\) and .*to pods here \(IPv4, IPv6\).*policy drop/,
    ],
    [
      "a last rule",
      forward("accept", "ct state established accept", "counter log reject with icmpx no-route"),
      "",
      /reject with icmpx no-route, handle \d+/,
    ],
    ["one family", forward("accept", "meta nfproto ipv6 drop"), "from4 to4", /\(IPv6\)(?!.*IPv4)/],
    [
      "one direction, by name",
      forward("accept", 'ct state new oifname { "x", "p0" } drop'),
      "from4 from6",
      /pods of other nodes send to pods here/,
    ],
    [
      "a verdict map",
      forward("accept", "ct state vmap { established : accept, related : accept, new : jump no }").replace(
        "table inet foreign {",
        "table inet foreign {\n chain no { drop; }",
      ),
      "",
      /no: drop, handle/,
    ],
    [
      "by addresses",
      forward("drop", "ip saddr != 10.244.0.0/16 accept", "ip6 saddr fd00:244::/32 accept"),
      "from6 to6",
      /\(IPv4\)(?!.*IPv6)/,
    ],
    [
      "a table of one family",
      "table ip6 foreign {\n chain f { type filter hook forward priority 0; policy drop; }\n}\n",
      "from4 to4",
      /table ip6 foreign/,
    ],
    [
      "firewalld",
      firewalldRules("up0"),
      "from4 from6",
      /filter_FORWARD of nftables table inet firewalld drops what pods of other nodes send to pods here \(IPv4, IPv6\), .*filter_FWD_public: reject with icmpx admin-prohibited, handle \d+\): `firewall-cmd --permanent --zone=trusted --add-source=10\.244\.1\.0\/24; .*--add-interface=p0; firewall-cmd --reload`/,
    ],
    ["firewalld that trusts the bridge alone", firewalldRules("up0", [], ["p0"]), "from4 from6", /firewalld/],
    [
      "firewalld that trusts IPv4 alone",
      firewalldRules("up0", SOURCES.slice(0, 1), ["p0"]),
      "from4 from6 to4",
      /\(IPv6\)(?!.*\(IPv4\))/,
    ],
  ] as const)("%s", async (_what, text, open, told) => {
    load(text);
    expect([reached(), (await found()).length]).toEqual([open, 1]);
    expect((await found()).join("\n")).toMatch(told);
  });
});

describe("nothing is told of a ruleset that lets them through", () => {
  test.each([
    ["none", ""],
    ["firewalld that trusts the pods", firewalldRules("up0", SOURCES, ["p0"])],
    ["firewalld that trusts the pods by address alone", firewalldRules("up0", SOURCES)],
    [
      "an accept before the drop",
      forward("drop", "ip saddr 10.244.0.0/16 accept", "ip6 daddr fd00:244::/32 accept"),
    ],
    [
      "addresses in parts",
      forward("drop", "ip saddr { 10.244.1.0/24, 10.244.2.0/24 } accept", "ip6 saddr fd00:244::/32 accept"),
    ],
    ["another hook", forward("drop").replace("hook forward", "hook input")],
    ["a table that sleeps", forward("drop").replace("foreign {", "foreign {\n flags dormant")],
    [
      "a drop for others",
      forward("accept", 'iifname "docker0" drop', "ip saddr 10.0.0.0/24 drop", "meta l4proto sctp drop"),
    ],
    [
      "a chain that returns",
      forward("accept", "goto out", "drop").replace(
        "table inet foreign {",
        "table inet foreign {\n chain out { return; }",
      ),
    ],
    [
      "netavark's",
      forward(
        "accept",
        "ct state invalid drop",
        "jump isolate",
        "ip daddr 10.88.0.0/16 ct state established,related accept",
        "ip saddr 10.88.0.0/16 accept",
      ).replace(
        "table inet foreign {",
        'table inet foreign {\n chain iso3 { oifname "podman0" drop; }\n chain isolate { iifname "podman0" oifname != "podman0" jump iso3; }',
      ),
    ],
    [
      "kube-proxy's",
      "table ip kube-proxy {\n map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.96.0.10 . tcp . 53 : drop } }\n chain check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }\n chain filter-forward { type filter hook forward priority -110; policy accept; ct state new jump check; }\n}\n",
    ],
    [
      "docker's",
      'table ip filter {\n chain FORWARD { type filter hook forward priority filter; policy accept; iifname "docker0" accept; oifname "docker0" drop; }\n}\n',
    ],
  ] as const)("%s", async (_what, text) => {
    load(text);
    expect(await found()).toEqual([]);
    expect(reached()).toBe(ALL);
  });
});

describe("nothing is told where it can't be decided", () => {
  test.each([
    ["a mark", forward("drop", "meta mark & 0x4000 == 0x4000 accept")],
    ["a port", forward("drop", "tcp dport 8080 accept")],
    [
      "a named set",
      forward("drop", "ip saddr @pods accept", "ip6 saddr fd00:244::/32 accept").replace(
        "table inet foreign {",
        "table inet foreign {\n set pods { type ipv4_addr; flags interval; }",
      ),
    ],
    ["a mark of any kind", forward("drop", "ct state new meta mark 7 accept")],
    ["some other link", forward("drop", 'iifname "wan" accept', 'oifname "wan" accept')],
    [
      "a part of the pods",
      forward(
        "drop",
        "ip saddr 10.244.2.0/24 accept",
        "ip saddr 10.244.1.0/28 accept",
        "ip6 saddr fd00:244::/32 accept",
      ),
    ],
    ["a limit", forward("drop", "limit rate 5/second accept")],
  ] as const)("%s", async (_what, text) => {
    load(text);
    expect(await found()).toEqual([]);
  });
});
