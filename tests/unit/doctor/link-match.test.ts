import { describe, expect, test } from "bun:test";
import { fitsGlob, parseIni } from "../../../src/doctor/ini.ts";
import { isUnmanaged, leavesLinksAlone, matchesNetworkFile } from "../../../src/doctor/link-match.ts";

const BRIDGE = { name: "minicni0", kind: "bridge" };
const TUNNEL = { name: "minicni.vxlan", kind: "vxlan" };
const VETH = { name: "mcni0123456789a", kind: "veth" };

/** Which of ours a `[Match]` section is for. */
const matched = (...lines: string[]) =>
  [BRIDGE, TUNNEL, VETH]
    .filter((link) => matchesNetworkFile(`[Match]\n${lines.join("\n")}\n[Network]\nDHCP=yes\n`, link))
    .map(({ kind }) => kind)
    .join(" ");

describe("a .network file is for", () => {
  test.each([
    ["all by a star", ["Name=*"], "bridge vxlan veth"],
    ["all without a condition", [], "bridge vxlan veth"],
    ["none by an uplink's name", ["Name=en* eth*"], ""],
    ["what a negated name leaves", ["Name=!lo docker*"], "bridge vxlan veth"],
    ["some by name", ["Name=minicni*"], "bridge vxlan"],
    ["all Ethernet devices that udev knows no type of", ["Type=ether"], "veth"],
    ["hardware alone", ["Type=ether", "Kind=!*"], ""],
    ["veths alone", ["Kind=veth"], "veth"],
    ["veths of nspawn", ["Kind=veth", "Name=ve-*"], ""],
    ["by driver", ["Driver=bridge"], "bridge"],
    ["by an address of hardware", ["MACAddress=00:11:22:33:44:55"], ""],
    ["on machines like this one, perhaps", ["Name=*", "Virtualization=vm"], "bridge vxlan veth"],
    ["a list that began anew", ["Name=minicni0", "Name=", "Name=eth0"], ""],
    ["a list in two lines", ["Name=eth0", "Name=minicni0"], "bridge"],
  ])("%s", (_what, lines, wanted) => {
    expect(matched(...lines)).toBe(wanted);
  });

  test("nothing to be done where it says so", () => {
    expect(leavesLinksAlone("[Match]\nName=*\n[Link]\nUnmanaged=yes\n")).toBe(true);
    expect(leavesLinksAlone("[Link]\nUnmanaged=yes\nUnmanaged=no\n")).toBe(false);
    expect(leavesLinksAlone("[Network]\nUnmanaged=yes\n")).toBe(false);
  });
});

describe("NetworkManager leaves alone", () => {
  test.each([
    ["nothing by itself", "", ""],
    ["by name", "[keyfile]\nunmanaged-devices=interface-name:minicni0;interface-name:mcni*", "bridge veth"],
    ["by exact name", "[keyfile]\nunmanaged-devices=interface-name:=minicni.vxlan", "vxlan"],
    ["by type and driver", "[keyfile]\nunmanaged-devices=type:bridge;driver:veth", "bridge veth"],
    ["all but some", "[keyfile]\nunmanaged-devices=*,except:interface-name:minicni*", "veth"],
    [
      "by a later file in place of the first",
      "[keyfile]\nunmanaged-devices=*\n[keyfile]\nunmanaged-devices=interface-name:docker*",
      "",
    ],
    [
      "by a later file besides",
      "[keyfile]\nunmanaged-devices=type:veth\n[keyfile]\nunmanaged-devices+=type:vxlan",
      "vxlan veth",
    ],
    ["by a device's section", "[device-pods]\nmatch-device=interface-name:mcni*\nmanaged=0", "veth"],
    ["not by a section that manages", "[device-pods]\nmatch-device=interface-name:mcni*\nmanaged=1", ""],
  ])("%s", (_what, text, wanted) => {
    const settings = parseIni(text);
    const alone = [BRIDGE, TUNNEL, VETH].filter((link) => isUnmanaged(settings, link));
    expect(alone.map(({ kind }) => kind).join(" ")).toBe(wanted);
  });
});

test("settings are read by section, without comments, lines joined", () => {
  expect(parseIni("# a=b\n[Network]\n; c=d\nDHCP = yes\nno setting\n[Match]\nName=a \\\n b\n")).toEqual([
    { section: "Network", key: "DHCP", value: "yes" },
    { section: "Match", key: "Name", value: "a   b" },
  ]);
});

test.each([
  ["mcni*", "mcni01", true],
  ["mcni?", "mcni", false],
  ["eth[0-9]", "eth7", true],
  ["eth[!0-9]", "eth7", false],
  ["a.b", "axb", false],
  ["a+", "aa", false],
  ["[", "[", true],
])("pattern %s and name %s: %s", (pattern, name, fits) => {
  expect(fitsGlob(pattern, name)).toBe(fits);
});
