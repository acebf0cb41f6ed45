import { describe, expect, test } from "bun:test";
import { forwardingCheck } from "../../../src/doctor/checks/a3-forwarding.ts";
import type { Forwarding } from "../../../src/doctor/sections/forwarding.ts";
import { findingsOf, linesOf } from "./facts.ts";

const HEALTHY: Forwarding = {
  ipv4: true,
  ipv6: true,
  podFamilies: [4, 6],
  off: [],
  newLinks: true,
  advertised: [],
  hasOtherDefault: false,
  settings: [],
  settingsFault: null,
};
const of = (facts: Partial<Forwarding>) =>
  findingsOf(forwardingCheck, { forwarding: { ...HEALTHY, ...facts } });
const advertised = (acceptRa: number, hasDefault: boolean) => ({
  link: "eth0",
  acceptRa,
  isRouter: true,
  hasDefault,
});
const OFF = { key: "net/ipv4/ip_forward", value: "0", place: "/etc/sysctl.d/99-hard.conf:3" };

describe("A3, forwarding", () => {
  test.each<[string, Partial<Forwarding>, string[]]>([
    ["on for both families", {}, ["PASS A3 forwarding: IPv4 on, IPv6 on"]],
    [
      "off where no pods are known",
      { ipv4: false, ipv6: false, podFamilies: [] },
      ["PASS A3 forwarding: IPv4 off, IPv6 off"],
    ],
    [
      "off for a family that no pod has",
      { ipv6: false, podFamilies: [4] },
      ["PASS A3 forwarding: IPv4 on, IPv6 off"],
    ],
    ["off for pods", { ipv4: false }, ["FAIL A3 IPv4 forwarding is off"]],
    [
      "off for both",
      { ipv4: false, ipv6: false },
      ["FAIL A3 IPv4 forwarding is off", "FAIL A3 IPv6 forwarding is off"],
    ],
    [
      "a kernel without IPv6, and pods with it",
      { ipv6: null },
      ["FAIL A3 pods have IPv6 addresses, and this kernel runs without IPv6"],
    ],
    [
      "a kernel without IPv6",
      { ipv6: null, podFamilies: [4] },
      ["PASS A3 forwarding: IPv4 on, IPv6 not in this kernel"],
    ],
    [
      "a file that turns it off",
      { settings: [OFF] },
      ["WARN A3 IPv4 forwarding is on, and /etc/sysctl.d/99-hard.conf:3 turns it off again"],
    ],
    ["one link of the node", { off: ["eth0"] }, ["FAIL A3 IPv4 forwarding is off on eth0"]],
    [
      "off by the other name of the switch, read last",
      {
        settings: [
          { key: "net/ipv4/ip_forward", value: "1", place: "/etc/sysctl.d/10-a.conf:1" },
          { key: "net/ipv4/conf/all/forwarding", value: "0", place: "/etc/sysctl.d/20-b.conf:1" },
        ],
      },
      ["WARN A3 IPv4 forwarding is on, and /etc/sysctl.d/20-b.conf:1 turns it off again"],
    ],
    [
      "a file that turns off what pods don't have",
      { settings: [OFF], podFamilies: [6] },
      ["PASS A3 forwarding: IPv4 on, IPv6 on"],
    ],
    [
      "links to come",
      { newLinks: false },
      ["WARN A3 IPv4 forwarding is on, but off for links that are made from now on"],
    ],
    [
      "an advertised default route that will end",
      { advertised: [advertised(1, true)] },
      ["WARN A3 the default route of IPv6 by eth0 came by router advertisement, and will not be renewed"],
    ],
    [
      "one that has ended",
      { advertised: [advertised(1, false)] },
      [
        "FAIL A3 eth0 ignores router advertisements: its default route of IPv6 is gone, its addresses will go",
      ],
    ],
    [
      "one that has ended, of a node without pods of IPv6",
      { advertised: [advertised(1, false)], podFamilies: [4] },
      [
        "WARN A3 eth0 ignores router advertisements: its default route of IPv6 is gone, its addresses will go",
      ],
    ],
    ["one that is renewed", { advertised: [advertised(2, true)] }, ["PASS A3 forwarding: IPv4 on, IPv6 on"]],
    [
      "one of a link that is no router",
      { advertised: [{ ...advertised(1, true), isRouter: false }] },
      ["PASS A3 forwarding: IPv4 on, IPv6 on"],
    ],
    [
      "one beside another default route",
      { advertised: [advertised(1, false)], hasOtherDefault: true },
      ["PASS A3 forwarding: IPv4 on, IPv6 on"],
    ],
    [
      "one that somebody else than the kernel renews",
      { advertised: [advertised(0, true)] },
      ["PASS A3 forwarding: IPv4 on, IPv6 on"],
    ],
    [
      "files that can't be seen",
      { settingsFault: "a pod does not see them" },
      [
        "PASS A3 forwarding: IPv4 on, IPv6 on",
        "SKIP A3 who sets forwarding at the next boot: not looked at: a pod does not see them",
      ],
    ],
  ])("%s", (_what, facts, lines) => {
    expect(linesOf(of(facts))).toEqual(lines);
  });

  test("who turned it off is named with the line, and the line is changed by the fix", () => {
    expect(of({ ipv4: false, settings: [OFF] })[0]).toMatchObject({
      evidence: ["net.ipv4.ip_forward = 0", "/etc/sysctl.d/99-hard.conf:3: net.ipv4.ip_forward = 0"],
      fix: [
        "sysctl -w net.ipv4.ip_forward=1",
        "sed -i '3s/=.*/= 1/' /etc/sysctl.d/99-hard.conf  # net.ipv4.ip_forward",
      ],
    });
  });

  test("one link's culprit is the line that sets it, or what new links begin with", () => {
    const settings = [
      { key: "net/ipv4/conf/default/forwarding", value: "0", place: "/usr/lib/sysctl.d/50-x.conf:2" },
    ];
    expect(of({ off: ["eth0.5"], settings })[0]).toMatchObject({
      evidence: [
        "net.ipv4.conf.eth0/5.forwarding = 0",
        "/usr/lib/sysctl.d/50-x.conf:2: net.ipv4.conf.default.forwarding = 0",
      ],
      fix: [
        "sysctl -w net.ipv4.conf.eth0/5.forwarding=1",
        "echo 'net.ipv4.conf.default.forwarding = 1' >> /etc/sysctl.d/99-zz-minicni.conf  # read behind /usr/lib/sysctl.d/50-x.conf:2",
      ],
    });
  });

  test("who keeps a link from listening is named", () => {
    const place = "/etc/sysctl.d/60-ra.conf:1";
    const settings = [{ key: "net/ipv6/conf/*/accept_ra", value: "1", place }];
    expect(of({ advertised: [advertised(1, true)], settings })[0]).toMatchObject({
      evidence: [
        "net.ipv6.conf.eth0.accept_ra = 1",
        "net.ipv6.conf.eth0.forwarding = 1",
        `${place}: net.ipv6.conf.*.accept_ra = 1`,
      ],
      fix: [
        "sysctl -w net.ipv6.conf.eth0.accept_ra=2",
        `echo 'net.ipv6.conf.eth0.accept_ra = 2' >> /etc/sysctl.d/99-zz-minicni.conf  # read behind ${place}`,
        "# the route comes back with the router's next advertisement",
      ],
    });
  });
});
