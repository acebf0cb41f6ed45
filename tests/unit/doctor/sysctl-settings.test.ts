import { describe, expect, test } from "bun:test";
import {
  dotted,
  lastOf,
  overruleSetting,
  type Setting,
  settingOf,
} from "../../../src/doctor/sysctl-settings.ts";

const KEY = "net/ipv4/conf/eth0/rp_filter";
const line = (key: string, value: string | null, place = "/etc/sysctl.d/a.conf:1"): Setting => ({
  key,
  value,
  place,
});

describe("the line that counts", () => {
  test.each<[string, Setting[], string | null]>([
    ["none", [], null],
    ["of two for one key: the later", [line(KEY, "1"), line(KEY, "2")], "2"],
    [
      "the name before a pattern, wherever it stands",
      [line(KEY, "1"), line("net/ipv4/conf/*/rp_filter", "2")],
      "1",
    ],
    [
      "of two patterns: the later",
      [line("net/*/conf/*/rp_filter", "1"), line("net/ipv4/conf/e*/rp_filter", "2")],
      "2",
    ],
    ["a pattern reaches over no slash", [line("net/*/rp_filter", "1")], null],
    ["a name that is kept out of patterns", [line("net/ipv4/conf/*/rp_filter", "2"), line(KEY, null)], null],
    ["and is set after all", [line(KEY, null), line(KEY, "0")], "0"],
    ["another key", [line("net/ipv4/conf/eth1/rp_filter", "1")], null],
  ])("%s", (_what, settings, value) => {
    expect(settingOf(settings, KEY)?.value ?? null).toBe(value);
  });

  test("of keys that are one switch the line read last", () => {
    const settings = [line("a/b", "1"), line("a/c", "0"), line("a/d", "7")];
    expect(lastOf(settings, ["a/c", "a/b"])?.key).toBe("a/c");
    expect(lastOf(settings, ["a/x"])).toBeNull();
  });
});

test("dots of a link's name and slashes change places", () => {
  expect(dotted("net/ipv4/conf/eth0.5/rp_filter")).toBe("net.ipv4.conf.eth0/5.rp_filter");
});

describe("a line is overruled", () => {
  test.each([
    [
      "/etc/sysctl.d/a.conf:12",
      KEY,
      "sed -i '12s/=.*/= 2/' /etc/sysctl.d/a.conf  # net.ipv4.conf.eth0.rp_filter",
    ],
    [
      "/usr/lib/sysctl.d/a.conf:1",
      KEY,
      "echo 'net.ipv4.conf.eth0.rp_filter = 2' >> /etc/sysctl.d/99-zz-minicni.conf  # read behind /usr/lib/sysctl.d/a.conf:1",
    ],
    [
      "/etc/sysctl.conf:1",
      "net/ipv4/conf/*/rp_filter",
      "echo 'net.ipv4.conf.eth0.rp_filter = 2' >> /etc/sysctl.d/99-zz-minicni.conf  # read behind /etc/sysctl.conf:1",
    ],
  ])("%s", (place, key, command) => {
    expect(overruleSetting(line(key, "1", place), KEY, "2")).toBe(command);
  });
});
