import { describe, expect, test } from "bun:test";
import { mtuCheck } from "../../../src/doctor/checks/b5-mtu.ts";
import type { Mtu } from "../../../src/doctor/sections/mtu.ts";
import { findingsOf, linesOf } from "./facts.ts";

const uplink = (mtu: number, family: 4 | 6 = 4) => ({ family, name: "eth0", mtu });
const tunnel = (mtu: number | null, desired = 1450, peers = 2, family: 4 | 6 = 4) => ({
  name: family === 4 ? "minicni.vxlan" : "minicni.vxlan6",
  family,
  mtu,
  desired,
  peers,
});
const pod = (key: string, hostMtu: number | null, podMtu: number | null, isOwn = false) => ({
  key,
  netns: `/run/netns/${key}`,
  ifname: "eth0",
  hostVeth: `mcni-${key}`,
  hostMtu,
  podMtu,
  isOwn,
});
const probe = (
  peer: string,
  small: Mtu["probes"][number]["small"],
  large: Mtu["probes"][number]["large"],
) => ({
  peer,
  address: "10.8.0.3",
  dev: "eth0",
  bytes: 1500,
  isTunnelled: true,
  small,
  large,
});
const HEALTHY: Mtu = {
  published: 1450,
  chosen: 0,
  uplinks: [uplink(1500)],
  tunnels: [tunnel(1450)],
  bridge: { name: "minicni0", mtu: 1450 },
  attachments: [pod("a", 1450, 1450)],
  probes: [probe("n3", "answered", "answered")],
};
const of = (changes: Partial<Mtu>) => findingsOf(mtuCheck, { mtu: { ...HEALTHY, ...changes } });

describe("B5, MTU", () => {
  test.each<[string, Partial<Mtu>, string]>([
    [
      "all as it should be",
      {},
      "PASS B5 1450 bytes for pods fit eth0 (1500, less 50 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "nobody asked",
      { probes: [] },
      "PASS B5 1450 bytes for pods fit eth0 (1500, less 50 of the tunnel); no packet was sent to try it",
    ],
    [
      "nobody answers",
      { probes: [probe("n3", "silent", "silent")] },
      "PASS B5 1450 bytes for pods fit eth0 (1500, less 50 of the tunnel); none of 1 peer answers at all, so that it was not tried",
    ],
    [
      "no tunnel in use",
      { published: 1500, tunnels: [tunnel(1450, 1450, 0)], bridge: null, attachments: [] },
      "PASS B5 1500 bytes for pods fit eth0 (1500); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "before an agent",
      { published: null, tunnels: [], bridge: null, attachments: [], probes: [] },
      "PASS B5 1500 bytes for pods fit eth0 (1500); no packet was sent to try it",
    ],
    [
      "jumbo frames",
      {
        published: 8950,
        uplinks: [uplink(9000)],
        tunnels: [tunnel(8950, 8950)],
        bridge: null,
        attachments: [],
      },
      "PASS B5 8950 bytes for pods fit eth0 (9000, less 50 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "IPv6 below the tunnel",
      {
        published: 1430,
        uplinks: [uplink(1500, 6)],
        tunnels: [tunnel(1430, 1430, 1, 6)],
        bridge: null,
        attachments: [],
      },
      "PASS B5 1430 bytes for pods fit eth0 (1500, less 70 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "a narrow link with fragments",
      {
        published: 1280,
        uplinks: [uplink(1300)],
        tunnels: [tunnel(1280, 1280)],
        bridge: null,
        attachments: [],
      },
      "PASS B5 1280 bytes for pods fit eth0 (1300, less 50 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "nothing known",
      { published: null, uplinks: [], tunnels: [] },
      "SKIP B5 MTU: no link has a node address, so that nothing is known of its size",
    ],
    [
      "a smaller one that was chosen",
      { chosen: 1400, published: 1400, attachments: [], bridge: null },
      "PASS B5 1400 bytes for pods fit eth0 (1500, less 50 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "a larger one that was chosen",
      { chosen: 1500, published: 1500, attachments: [], bridge: null, tunnels: [tunnel(1450)] },
      "FAIL B5 pods have an MTU of 1500 bytes, and only 1450 fit eth0 (1500, less 50 of the tunnel)",
    ],
    [
      "a link that became narrower",
      { uplinks: [uplink(1400)], tunnels: [tunnel(1450, 1350)] },
      "FAIL B5 pods have an MTU of 1450 bytes, and only 1350 fit eth0 (1400, less 50 of the tunnel)",
    ],
    [
      "a link that became wider",
      { uplinks: [uplink(9000)], tunnels: [tunnel(1450, 8950)] },
      "WARN B5 pods have an MTU of 1450 bytes, and 8950 would fit eth0 (9000, less 50 of the tunnel)",
    ],
    [
      "a tunnel that is too wide",
      { tunnels: [tunnel(1500)] },
      "FAIL B5 minicni.vxlan has an MTU of 1500 bytes, wanted 1450",
    ],
    [
      "a tunnel that is too narrow",
      { tunnels: [tunnel(1300)] },
      "FAIL B5 minicni.vxlan has an MTU of 1300 bytes, wanted 1450",
    ],
    [
      "a bridge that is too narrow",
      { bridge: { name: "minicni0", mtu: 1280 } },
      "FAIL B5 minicni0 has an MTU of 1280 bytes, and pods have 1450",
    ],
    [
      "a pod's two ends apart",
      { attachments: [pod("a", 1400, 1450)] },
      "FAIL B5 pod a: the pod's end of its link has 1450 bytes, the node's 1400",
    ],
    [
      "pods that are too wide",
      { attachments: [pod("a", 1500, 1500), pod("b", 1500, null)] },
      "FAIL B5 2 pods have a larger MTU than the 1450 bytes of this node: a, b",
    ],
    [
      "a pod that is narrower",
      { attachments: [pod("a", 1400, 1400)] },
      "WARN B5 1 pod has a smaller MTU than the 1450 bytes of this node: a",
    ],
    [
      "a pod with one of its own",
      { attachments: [pod("a", 1300, 1300, true)] },
      "PASS B5 1450 bytes for pods fit eth0 (1500, less 50 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "a bridge as narrow as a pod with an MTU of its own",
      { attachments: [pod("a", 1300, 1300, true)], bridge: { name: "minicni0", mtu: 1300 } },
      "PASS B5 1450 bytes for pods fit eth0 (1500, less 50 of the tunnel); a full packet reaches 1 of 1 peer asked",
    ],
    [
      "a way that takes less",
      { probes: [probe("n3", "answered", "silent")] },
      "FAIL B5 packets of 1500 bytes that nobody may cut do not reach n3; small ones do",
    ],
    [
      "one way of several",
      { probes: [probe("n3", "answered", "too big"), probe("n4", "answered", "answered")] },
      "WARN B5 packets of 1500 bytes that nobody may cut do not reach n3; small ones do",
    ],
  ])("%s", (_what, changes, line) => {
    expect(linesOf(of(changes))[0]).toBe(line);
  });

  test("what to do can be pasted", () => {
    expect(of({ tunnels: [tunnel(1500)] })[0]?.fix).toEqual(["ip link set minicni.vxlan mtu 1450"]);
    expect(of({ attachments: [pod("a", 1500, 1500)] })[0]?.fix).toEqual([
      "ip link set mcni-a mtu 1450 && nsenter --net=/run/netns/a ip link set eth0 mtu 1450",
    ]);
    expect(of({ probes: [probe("n3", "answered", "silent")] })[0]?.fix[0]).toBe(
      "ping -M do -c 1 -s 1472 10.8.0.3",
    );
  });
});
