import { describe, expect, test } from "bun:test";
import { findIpamFaults } from "../../../../../src/doctor/ipam-faults.ts";
import { formatMaps } from "../../../../../src/entry/admin/ipam/map-text.ts";
import { mapNetworks } from "../../../../../src/entry/admin/ipam/maps.ts";
import { describeHoldings, formatHoldings } from "../../../../../src/entry/admin/ipam/show.ts";
import { drawMaps } from "../../../../../src/entry/admin/ipam/svg.ts";
import { exitCodeOf, formatFaults } from "../../../../../src/entry/admin/ipam/verify.ts";
import { createPaint } from "../../../../../src/entry/output/paint.ts";
import { attachment, ipamOf, network, reservation, set } from "../../../doctor/ipam-words.ts";

const plain = (width: number | null) => ({ width, paint: createPaint(false) });
const NOW = Date.parse("2026-11-29T06:05:00Z");
const LONG_ID = `${"3f2a9c".repeat(10)}abcd`;
const EVERYTHING = { network: null, address: null, container: null };
/** Two pods, one of them gone. */
const NODE = ipamOf({
  sets: [set({ held: 2, free: 251, next: "10.1.2.4" })],
  reservations: [reservation("10.1.2.2", LONG_ID), reservation("10.1.2.3", "b")],
  attachments: [
    attachment(LONG_ID, ["10.1.2.2"], {
      hostVeth: { name: "mcni01234567890", bridge: "minicni0" },
      pod: { namespace: "shop", name: "web<0>" },
    }),
    attachment("b", ["10.1.2.3"], { hostVeth: null, netnsState: "gone", podAddresses: null }),
  ],
});

describe("minicni ipam show", () => {
  test("tells who holds what, and how full the ranges are", () => {
    expect(formatHoldings(describeHoldings(NODE, EVERYTHING), NOW, plain(120)).split("\n")).toEqual([
      "minicni  /var/lib/cni/networks/minicni, /etc/cni/net.d/10-minicni.conflist",
      "  10.1.2.1-10.1.2.254  ▏░░░░░░░░░░░░░░░░░░░ 1 %  2 held, 251 free, 1 gateway, next 10.1.2.4",
      "ADDRESS   STATE       POD          CONTAINER      IFNAME  HOST VETH              AGE",
      "10.1.2.2  live        shop/web<0>  3f2a9c3f2a9c3  eth0    mcni01234567890  1 h 5 min",
      "10.1.2.3  netns gone               b              eth0                     1 h 5 min",
      "",
    ]);
  });

  test("is a block for each on a narrow screen, without a line that is too long", () => {
    const text = formatHoldings(describeHoldings(NODE, EVERYTHING), NOW, plain(40));
    expect(text).toContain("\n10.1.2.3\n  STATE: netns gone\n  CONTAINER: b\n");
    expect(text.split("\n").every((line) => line.length <= 45)).toBe(true);
  });

  test("finds an address, or a container by the beginning of its ID", () => {
    const addresses = (filter: object) =>
      describeHoldings(NODE, { ...EVERYTHING, ...filter }).flatMap(({ holdings }) =>
        holdings.map((it) => it.address),
      );
    expect(addresses({ address: "10.1.2.3" })).toEqual(["10.1.2.3"]);
    expect(addresses({ container: "3f2a" })).toEqual(["10.1.2.2"]);
    expect(addresses({ container: "nobody" })).toEqual([]);
    expect(addresses({ network: "other" })).toEqual([]);
  });
});

describe("minicni ipam map", () => {
  const maps = mapNetworks(NODE);

  test("shows a /24 in 4 rows of 64", () => {
    expect(formatMaps(maps, plain(null)).split("\n")).toEqual([
      "minicni 10.1.2.1-10.1.2.254",
      "  2 held (1 wrong) of 254 of 10.1.2.0/24, next 10.1.2.4",
      `  10.1.2.0    ·G█!>${"░".repeat(59)}`,
      `  10.1.2.64   ${"░".repeat(64)}`,
      `  10.1.2.128  ${"░".repeat(64)}`,
      `  10.1.2.192  ${"░".repeat(63)}·`,
      "",
      "█ held  ░ free  ! wrong (minicni ipam verify)  G gateway  > given next  · never given",
      "",
    ]);
  });

  test.each([40, 60, 80])("keeps to a screen of %d columns", (width) => {
    const lines = formatMaps(maps, plain(width)).split("\n");
    expect(lines.filter((line) => Bun.stringWidth(line) > width)).toEqual([]);
    const row = lines.find((line) => line.includes("·G█!>")) ?? "";
    expect(row.length).toBeLessThanOrEqual(width);
  });

  test("shades cells of several addresses by how many are held", () => {
    const reservations = Array.from({ length: 100 }, (_none, index) =>
      reservation(`10.2.1.${index}`, `c${index}`),
    );
    const ipam = ipamOf({
      sets: [
        set({
          text: "10.2.0.1-10.2.255.254",
          ranges: [{ subnet: "10.2.0.0/16", first: "10.2.0.1", last: "10.2.255.254", gateway: "10.2.0.1" }],
          next: "10.2.9.0",
        }),
      ],
      reservations,
      attachments: reservations.map(({ address, containerId }) => attachment(containerId ?? "", [address])),
    });
    const text = formatMaps(mapNetworks(ipam), plain(null));
    expect(text).toContain("  10.2.0.0    ░░░░█▓░");
    expect(text).toContain("64 addresses a cell");
    expect(text).toContain("▒ up to half held  ▓ more  █ all");
  });

  test("says so where ranges are not known, or there is nothing", () => {
    const ipam = { ...NODE, networks: [network({ sets: [], reservations: [reservation("10.1.2.2", "a")] })] };
    expect(formatMaps(mapNetworks(ipam), plain(null))).toBe(
      "minicni\n  1 reservation in /var/lib/cni/networks/minicni; its ranges are not known\n",
    );
    expect(formatMaps([], plain(null))).toBe("no network has addresses on this node\n");
  });

  test("as a picture has a cell and a tooltip for each address, and asks nobody for anything", () => {
    const svg = drawMaps(maps, "2026-11-29T06:05:00Z");
    expect(svg.match(/<g><title>/g)).toHaveLength(256);
    expect(svg).toContain(
      "<title>10.1.2.2\npod shop/web&lt;0&gt; (container 3f2a9c3f2a9c3 eth0): live</title>",
    );
    expect(svg).toContain("<title>10.1.2.1\ngateway</title>");
    expect(svg).toContain("prefers-color-scheme: dark");
    expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(
      /https?:|url\(|@import|<script/,
    );
    const open = svg.match(/<(svg|g|title|style|text)\b/g)?.length;
    expect(svg.match(/<\/(svg|g|title|style|text)>/g)?.length).toBe(open);
  });
});

describe("minicni ipam verify", () => {
  const faults = findIpamFaults(NODE);

  test("tells what does not fit, with evidence and what to do", () => {
    expect(formatFaults(NODE, faults, plain(null)).split("\n")).toEqual([
      "WARN  minicni: 10.1.2.3 is held by container b eth0, whose network namespace is gone",
      "      | /var/lib/cni/networks/minicni/10.1.2.3: b eth0, since 2026-11-29T05:00:00.000Z",
      "      | namespace /run/netns/b: gone",
      "      fix: minicni ipam release --network minicni 10.1.2.3",
      "2 reservations of 1 network looked at, 1 thing does not fit",
      "",
    ]);
    expect(exitCodeOf(NODE, faults)).toBe(1);
  });

  test("all fits", () => {
    const fine = ipamOf({});
    expect(formatFaults(fine, [], plain(null))).toBe(
      "0 reservations of 1 network looked at, all is as it should be\n",
    );
    expect(exitCodeOf(fine, [])).toBe(0);
    expect(exitCodeOf({ ...fine, faults: ["x"] }, [])).toBe(2);
  });
});
