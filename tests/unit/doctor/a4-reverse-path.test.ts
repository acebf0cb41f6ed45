import { describe, expect, test } from "bun:test";
import { reversePathCheck } from "../../../src/doctor/checks/a4-reverse-path.ts";
import { pageSizeCheck } from "../../../src/doctor/checks/a12-page-size.ts";
import type { ReversePath } from "../../../src/doctor/sections/reverse-path.ts";
import { findingsOf, linesOf } from "./facts.ts";

const link = (name: string, role: "uplink" | "bridge" | "tunnel", value: number) => ({ name, role, value });
/** A line for the key of a link. */
const line = (name: string, value: string | null) => ({
  key: `net/ipv4/conf/${name}/rp_filter`,
  value,
  place: "/etc/sysctl.d/50-x.conf:2",
});
const HEALTHY_TUNNEL = link("minicni.vxlan", "tunnel", 2);
const HEALTHY: ReversePath = {
  all: 0,
  links: [link("eth0", "uplink", 2), link("minicni0", "bridge", 0), HEALTHY_TUNNEL],
  uplinks: 1,
  drops: 0,
  isTended: false,
  settings: [],
  settingsFault: null,
};
const of = (facts: Partial<ReversePath>) =>
  findingsOf(reversePathCheck, { reversePath: { ...HEALTHY, ...facts } });

describe("A4, reverse-path filter", () => {
  test.each<[string, Partial<ReversePath>, string[]]>([
    ["loose or off", {}, ["PASS A4 reverse-path filter: eth0 loose, minicni0 off, minicni.vxlan loose"]],
    [
      "the larger of all and link counts: all",
      { all: 1, links: [link("minicni.vxlan", "tunnel", 0)] },
      ["WARN A4 strict reverse-path filtering on minicni.vxlan"],
    ],
    [
      "the larger of all and link counts: link",
      { all: 1 },
      ["PASS A4 reverse-path filter: eth0 loose, minicni0 strict, minicni.vxlan loose"],
    ],
    [
      "strict on the only uplink",
      { links: [link("eth0", "uplink", 1)] },
      ["PASS A4 reverse-path filter: eth0 strict"],
    ],
    [
      "strict on one of two uplinks",
      { uplinks: 2, links: [link("eth0", "uplink", 1), link("eth1", "uplink", 0)] },
      ["WARN A4 strict reverse-path filtering on eth0, of a node with 2 uplinks"],
    ],
    ["no link of ours", { links: [] }, ["PASS A4 reverse-path filter: all off"]],
    [
      "2 on the tunnel is loose whatever all says",
      { all: 1, links: [link("minicni.vxlan", "tunnel", 2)], settings: [line("all", "1")] },
      ["PASS A4 reverse-path filter: minicni.vxlan loose"],
    ],
    [
      "strict again by all",
      { links: [link("minicni.vxlan", "tunnel", 0)], settings: [line("all", "1")] },
      ["WARN A4 /etc/sysctl.d/50-x.conf:2 makes reverse-path filtering strict on minicni.vxlan again"],
    ],
    [
      "strict again by a pattern",
      { settings: [line("*", "1"), line("all", "0")] },
      ["WARN A4 /etc/sysctl.d/50-x.conf:2 makes reverse-path filtering strict on minicni.vxlan again"],
    ],
    [
      "a pattern, where an agent takes it back",
      { settings: [line("*", "1"), line("all", null)], isTended: true, links: [HEALTHY_TUNNEL] },
      [
        "PASS A4 reverse-path filter: minicni.vxlan loose; /etc/sysctl.d/50-x.conf:2 makes the tunnel strict, which the agent takes back",
      ],
    ],
    [
      "a pattern that leaves the tunnel out",
      { settings: [line("*", "1"), line("all", null), line("minicni.vxlan", null)] },
      ["PASS A4 reverse-path filter: eth0 loose, minicni0 off, minicni.vxlan loose"],
    ],
  ])("%s", (_what, facts, lines) => {
    expect(linesOf(of(facts))).toEqual(lines);
  });

  test("the fix loosens the tunnel alone, now and at the next boot", () => {
    const [finding] = of({
      all: 1,
      drops: 7,
      links: [link("minicni.vxlan", "tunnel", 1)],
      settings: [line("*", "1"), line("all", "1")],
    });
    expect(finding?.evidence).toEqual([
      "net.ipv4.conf.all.rp_filter = 1",
      "net.ipv4.conf.minicni/vxlan.rp_filter = 1",
      "dropped for it in this namespace: 7 (TcpExtIPReversePathFilter)",
      "/etc/sysctl.d/50-x.conf:2: net.ipv4.conf.all.rp_filter = 1",
      "/etc/sysctl.d/50-x.conf:2: net.ipv4.conf.*.rp_filter = 1",
    ]);
    expect(finding?.fix).toEqual([
      "sysctl -w net.ipv4.conf.minicni/vxlan.rp_filter=2",
      "echo 'net.ipv4.conf.minicni/vxlan.rp_filter = 2' >> /etc/sysctl.d/99-zz-minicni.conf  # read behind /etc/sysctl.d/50-x.conf:2",
    ]);
    expect(finding?.cause).toContain("(so far 7, on all links)");
  });
});

test.each([
  [4096, "PASS A12 pages of 4 KiB"],
  [16384, "PASS A12 pages of 16 KiB"],
  [65536, "WARN A12 pages of 64 KiB: what runs here takes more memory than on pages of 4 KiB"],
])("A12, a page of %d bytes", (bytes, line) => {
  expect(linesOf(findingsOf(pageSizeCheck, { pageSize: { bytes } }))).toEqual([line]);
});
