import { describe, expect, test } from "bun:test";
import {
  formatOperation,
  formatPlan,
  formatStep,
  iptablesProgram,
  quoteWord,
} from "../../../src/plan/format.ts";
import { HOST, type Operation, ROUTE_PROTOCOL } from "../../../src/plan/step.ts";
import { address, prefix, thrown } from "../../twin/words.ts";

const NETNS = "/var/run/netns/it's mine";
const onHost = (operation: Operation) => formatStep({ ...operation, netns: HOST, why: "a test" });

describe("formatStep", () => {
  const commands: [Operation, string][] = [
    [
      { op: "file.install", from: "/a b/x", to: "/opt/cni/bin/x", mode: 0o755 },
      "install -m 0755 '/a b/x' /opt/cni/bin/x",
    ],
    [
      { op: "file.link", kind: "symbolic", path: "/b/loopback", target: "minicni" },
      "ln -s minicni /b/loopback",
    ],
    [{ op: "file.link", kind: "hard", path: "/b/y", target: "/b/x" }, "ln /b/x /b/y"],
    [{ op: "file.rename", from: "/a", to: "/b" }, "mv -n /a /b"],
    [{ op: "file.remove", path: "/a" }, "rm -f /a"],
    [{ op: "folder.remove", path: "/a" }, "rmdir /a"],
    [{ op: "link.del", name: "mcni1" }, "ip link del dev mcni1"],
    [
      { op: "link.add", link: { kind: "bridge", name: "br0", mac: "0e:00:00:00:00:01", mtu: 1450 } },
      "ip link add name br0 mtu 1450 address 0e:00:00:00:00:01 type bridge",
    ],
    [
      { op: "link.add", link: { kind: "bridge", name: "br0", vlanFiltering: true } },
      "ip link add name br0 type bridge vlan_filtering 1",
    ],
    [
      { op: "rules.restore", family: 4, variant: "nft", lines: ["*nat", "COMMIT"] },
      "iptables-nft-restore --noflush -w 10 <<'EOF'\n*nat\nCOMMIT\nEOF",
    ],
    [
      { op: "rules.restore", family: 6, variant: "legacy", lines: ["*nat", "COMMIT"] },
      "ip6tables-legacy-restore --noflush -w 10 <<'EOF'\n*nat\nCOMMIT\nEOF",
    ],
    [
      { op: "link.set", name: "br0", set: { vlanFiltering: true } },
      "ip link set dev br0 type bridge vlan_filtering 1",
    ],
    [
      { op: "link.set", name: "br0", set: { up: true, vlanFiltering: false } },
      "ip link set dev br0 up type bridge vlan_filtering 0",
    ],
    [
      { op: "link.set", name: "a", set: { master: "br0", alias: "minicni:pods:c1:eth0", up: true } },
      "ip link set dev a master br0 alias minicni:pods:c1:eth0 up",
    ],
    [
      { op: "link.add", link: { kind: "veth", name: "a", peer: { name: "b", netns: HOST } } },
      "ip link add name a type veth peer name b",
    ],
    [
      {
        op: "link.set",
        name: "a",
        set: { up: false, promisc: true, port: { hairpin: true, isolated: false } },
      },
      "ip link set dev a promisc on down type bridge_slave hairpin on isolated off",
    ],
    [
      { op: "addr.replace", dev: "a", prefix: prefix("fd00::1/64"), nodad: true },
      "ip addr replace fd00::1/64 dev a nodad",
    ],
    [{ op: "addr.del", dev: "a", prefix: prefix("10.0.0.1/24") }, "ip addr del 10.0.0.1/24 dev a"],
    [
      {
        op: "route.replace",
        route: {
          dst: prefix("10.1.0.0/16"),
          via: address("10.0.0.9"),
          dev: "a",
          onlink: true,
          protocol: ROUTE_PROTOCOL,
          metric: 5,
          table: 100,
          mtu: 1400,
          advmss: 1360,
        },
      },
      "ip route replace 10.1.0.0/16 via 10.0.0.9 dev a onlink proto 157 metric 5 table 100 mtu 1400 advmss 1360",
    ],
    [
      { op: "route.del", route: { dst: prefix("::/0"), dev: "a", scope: "link" } },
      "ip route del ::/0 dev a scope link",
    ],
    [
      {
        op: "route.del",
        route: { type: "blackhole", dst: prefix("10.1.0.0/16"), dev: "", protocol: ROUTE_PROTOCOL },
      },
      "ip route del blackhole 10.1.0.0/16 proto 157",
    ],
    [
      { op: "neigh.forget", dev: "a", address: address("fd00::9") },
      "ip neigh replace fd00::9 dev a nud none",
    ],
    [
      { op: "vlan.add", dev: "a", vid: 10, pvid: true, untagged: true },
      "bridge vlan add vid 10 dev a pvid untagged",
    ],
    [{ op: "vlan.add", dev: "br0", vid: 20, self: true }, "bridge vlan add vid 20 dev br0 self"],
    [{ op: "vlan.add", dev: "a", vid: 30, pvid: false, untagged: false }, "bridge vlan add vid 30 dev a"],
    [{ op: "vlan.del", dev: "a", vid: 1 }, "bridge vlan del vid 1 dev a"],
    [{ op: "netns.add", name: "lab1" }, "ip netns add lab1"],
    [
      { op: "sysctl.set", key: "net/ipv6/conf/eth0.1/accept_ra", value: "0", optional: true },
      "sysctl -w net.ipv6.conf.eth0/1.accept_ra=0",
    ],
    [
      { op: "rules.restore", family: 6, lines: ["*nat", "COMMIT"] },
      "ip6tables-restore --noflush -w 10 <<'EOF'\n*nat\nCOMMIT\nEOF",
    ],
    [
      { op: "rules.nft", lines: ["add table inet x", "delete table inet x"] },
      "nft -f - <<'EOF'\nadd table inet x\ndelete table inet x\nEOF",
    ],
  ];

  test.each(commands.map(([operation, text]) => [text, operation] as const))(
    "writes %s",
    (text, operation) => {
      expect(onHost(operation)).toBe(text);
    },
  );

  test("enters another namespace, its path quoted for a shell", () => {
    const step = { op: "link.del", name: "eth0", netns: NETNS, why: "a test" } as const;
    expect(formatStep(step)).toBe(`nsenter --net='/var/run/netns/it'\\''s mine' ip link del dev eth0`);
  });
});

describe("formatOperation", () => {
  test.each(["a#b", "a b", "a'b", "-n", ""])("refuses the word %j, which ip -batch would misread", (name) => {
    const error = thrown(() => formatOperation({ op: "link.del", name }));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ message: `word ${JSON.stringify(name)} can't stand in an ip batch` });
  });

  test.each(["a#b", "-n"])("refuses the device %j, which bridge -batch would misread", (dev) => {
    expect(thrown(() => formatOperation({ op: "vlan.add", dev, vid: 10 }))).toMatchObject({
      name: "RangeError",
      message: `word ${JSON.stringify(dev)} can't stand in a bridge batch`,
    });
  });

  test("refuses an alias that ip -batch would misread", () => {
    const operation = { op: "link.set", name: "a", set: { alias: "minicni:pods:c1:eth#0" } } as const;
    expect(thrown(() => formatOperation(operation))).toBeInstanceOf(RangeError);
  });

  test("tells apart the tools that take words, so that a batch holds one of them", () => {
    expect(formatOperation({ op: "link.del", name: "a" })).toEqual({
      tool: "ip",
      words: ["link", "del", "dev", "a"],
    });
    expect(formatOperation({ op: "vlan.del", dev: "a", vid: 1 })).toEqual({
      tool: "bridge",
      words: ["vlan", "del", "vid", "1", "dev", "a"],
    });
    expect(formatOperation({ op: "rules.nft", lines: ["flush ruleset"] })).toEqual({
      tool: "nft",
      lines: ["flush ruleset"],
    });
  });

  test("refuses a namespace path with a # where ip has to read it", () => {
    const peer = { name: "eth0", netns: "/run/netns/a#b" };
    const operation = { op: "link.add", link: { kind: "veth", name: "a", peer } } as const;
    expect(thrown(() => formatOperation(operation))).toBeInstanceOf(RangeError);
  });
});

describe("iptablesProgram", () => {
  test.each([
    ["iptables", 4, undefined, undefined],
    ["ip6tables-save", 6, undefined, "save"],
    ["iptables-legacy", 4, "legacy", undefined],
    ["ip6tables-nft-restore", 6, "nft", "restore"],
  ] as const)("%s", (name, family, variant, verb) => {
    expect(iptablesProgram(family, variant, verb)).toBe(name);
  });
});

describe("quoteWord", () => {
  test.each([
    ["eth0", "eth0"],
    ["10.0.0.1/24", "10.0.0.1/24"],
    ["", "''"],
    ["a b", "'a b'"],
    ["a#b", "'a#b'"],
    ["$(x)", "'$(x)'"],
    ["it's", `'it'\\''s'`],
  ])("%j becomes %s", (word, quoted) => {
    expect(quoteWord(word)).toBe(quoted);
  });

  test("gives a shell back the same word", () => {
    for (const word of ["", "a b", "it's", "''", "$HOME", "`x`", "a\\b", '"', "*", "a\nb"]) {
      const shell = Bun.spawnSync(["sh", "-c", `printf %s ${quoteWord(word)}`]);
      expect(shell.stdout.toString()).toBe(word);
    }
  });
});

describe("formatPlan", () => {
  test("says that an empty plan changes nothing", () => {
    expect(formatPlan([])).toBe("# nothing to change\n");
  });

  test("gives a reason once for the steps that share it", () => {
    const step = (name: string, why: string) => ({ op: "link.del", name, netns: HOST, why }) as const;
    expect(formatPlan([step("a", "gone"), step("b", "gone"), step("c", "foreign")])).toBe(
      "# gone\nip link del dev a\nip link del dev b\n# foreign\nip link del dev c\n",
    );
  });
});
