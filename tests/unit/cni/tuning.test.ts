import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseNetConf } from "../../../src/cni/config.ts";
import { CniError } from "../../../src/cni/errors.ts";
import { canonicalKeys } from "../../../src/cni/keys.ts";
import { ALLOWLIST, parseTuning } from "../../../src/cni/tuning.ts";
import { thrown } from "../../twin/words.ts";

const raw = (more: object) => parseNetConf(canonicalKeys({ cniVersion: "1.0.0", name: "pods", ...more })).raw;
const tuning = (more: object, allowlist: string | null = null) => parseTuning(raw(more), "eth0", allowlist);
const sysctls = (sysctl: object, allowlist: string | null = null) => tuning({ sysctl }, allowlist)?.sysctls;

describe("tuning", () => {
  test("is none where nobody asks; promisc false and mtu 0 ask for nothing", () => {
    const cni = { mtu: 0, promisc: false };
    for (const conf of [{}, { promisc: false }, { sysctl: {}, allmulti: null }, { args: { cni } }]) {
      expect(tuning(conf)).toBeNull();
    }
  });

  test("is read from the file, and from args before it", () => {
    const file = { promisc: true, allmulti: false, txQLen: 5, mtu: 1400 };
    expect(tuning(file)).toEqual({ promisc: true, allmulti: false, txQueueLength: 5, sysctls: [] });
    const args = { cni: { promisc: false, allmulti: true, txQLen: 0, mtu: 1300 } };
    expect(tuning({ ...file, args })).toEqual({ mtu: 1300, allmulti: true, txQueueLength: 0, sysctls: [] });
  });

  test.each([
    [{ txQLen: -1 }, "invalid txQLen: -1"],
    [{ txQLen: 1.5 }, "invalid txQLen: 1.5"],
    [{ args: { cni: { txQLen: 2 ** 32 } } }, "invalid txQLen: 4294967296"],
    [{ args: { cni: { mtu: -1 } } }, "invalid mtu: -1"],
    [{ args: { cni: { mtu: 67 } } }, "invalid mtu: 67"],
    [{ args: { cni: { mtu: 65536 } } }, "invalid mtu: 65536"],
    [{ args: { cni: { mtu: 1400.5 } } }, "invalid mtu: 1400.5"],
  ])("of %j is refused with code 7: %s", (conf, message) => {
    const details = expect.stringContaining("; wanted: a whole number from ");
    expect(thrown(() => tuning(conf))).toMatchObject({ code: 7, message, details });
  });
});

describe("sysctls", () => {
  test("are written with dots or slashes; IFNAME stands for the interface, whose name may have dots", () => {
    const written = {
      "net.core.somaxconn": "500",
      "net/ipv4/ip_forward": "1",
      "net.ipv4.conf.IFNAME.arp_filter": "1\n",
    };
    expect(parseTuning(raw({ sysctl: written }), "eth0.7", null)?.sysctls).toEqual([
      ["net/core/somaxconn", "500"],
      ["net/ipv4/ip_forward", "1"],
      ["net/ipv4/conf/eth0.7/arp_filter", "1"],
    ]);
  });

  test("of args are over those of the file, key by key, however they are spelled", () => {
    const sysctl = {
      "net.core.somaxconn": "500",
      "net.ipv4.ip_forward": "1",
      "net.ipv4.tcp_rmem": "1\t2\t3",
    };
    const cni = { sysctl: { "net.ipv4.ip_forward": "0", "net/core/somaxconn": "600" } };
    expect(tuning({ sysctl, args: { cni } })?.sysctls).toEqual([
      ["net/ipv4/ip_forward", "0"],
      ["net/ipv4/tcp_rmem", "1\t2\t3"],
      ["net/core/somaxconn", "600"],
    ]);
  });

  test.each([
    "kernel.pid_max",
    "net",
    "net.",
    "/net/core/somaxconn",
    "net..core",
    "net/../kernel/pid_max",
    "net.core.some max",
    "net.core\n.x",
    "netfilter.x",
    "",
    "IFNAME.core.x",
  ])("%j is no key below net: code 2", (key) => {
    const value = JSON.stringify(key);
    expect(thrown(() => sysctls({ [key]: "1" }))).toMatchObject({
      code: 2,
      message: `unsupported field: invalid net sysctl key: ${value}="1"`,
      details: expect.stringContaining("wanted: a key below net"),
    });
  });

  test("of control characters are refused", () => {
    expect(thrown(() => sysctls({ "net.core.x": "1\n2" }))).toMatchObject({
      code: 2,
      message: `unsupported field: invalid net sysctl value: "net.core.x"="1\\n2"`,
    });
  });

  test("that the node's list lacks are refused with code 2; a blank line allows nothing", () => {
    const list = "\n  ^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$  \n\n^net\\.core\\.somaxconn$\n";
    expect(sysctls({ "net.core.somaxconn": "1", "net.ipv4.conf.IFNAME.arp_filter": "1" }, list)).toHaveLength(
      2,
    );
    // As written, like the reference: the list's words are those of the configuration.
    for (const key of ["net.core.rmem_max", "net.ipv4.conf.eth0.arp_filter", "net/core/somaxconn"]) {
      expect(thrown(() => sysctls({ [key]: "1" }, list))).toMatchObject({
        code: 2,
        message: `unsupported field: sysctl "${key}"="1" is not allowed by ${ALLOWLIST}`,
      });
    }
    expect(thrown(() => sysctls({ "net.core.x": "1" }, "\n"))).toMatchObject({ code: 2 });
  });

  test("a list that is no list of regular expressions is refused with code 7", () => {
    expect(thrown(() => sysctls({ "net.core.x": "1" }, "("))).toMatchObject({
      code: 7,
      message: `${ALLOWLIST}: "(" is no regular expression`,
    });
  });

  test("of any key and value stay below net and are one path each, or are refused with code 2", () => {
    const part = fc.oneof(fc.constantFrom("net", "ipv4", "conf", "..", ".", "", "IFNAME", "\0"), fc.string());
    const key = fc
      .array(part, { maxLength: 5 })
      .chain((parts) =>
        fc.constantFrom(parts.join("/"), parts.join("."), `net.${parts.join(".")}`, `net/${parts.join("/")}`),
      );
    fc.assert(
      fc.property(fc.dictionary(key, fc.string(), { maxKeys: 4 }), (sysctl) => {
        try {
          const found = sysctls(sysctl) ?? [];
          expect(new Set(found.map(([path]) => path)).size).toBe(found.length);
          for (const [path, value] of found) {
            expect(new URL(`file:///proc/sys/${path}`).pathname.startsWith("/proc/sys/net/")).toBe(true);
            expect(path.split("/").every((it) => it !== "" && it !== "..")).toBe(true);
            expect(value).not.toMatch(/[\0\n]/);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(CniError);
          expect(error).toMatchObject({ code: 2 });
        }
      }),
    );
  });
});
