import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type AgentNode, destroyNodes, N1, N2, v4 } from "./agent.ts";
import { between, known, makePair } from "./doctor-network.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

/** A pod with an address of the node's pod CIDR. */
function addPod({ box }: AgentNode) {
  const pod = box.pod();
  const conf = box.conf({ name: "minicni", ipam: undefined, dataDir: box.dataDir, bridge: "minicni0" });
  box.add(pod, conf);
  return pod;
}

describe("B5, MTU", () => {
  test("of a node with pods and a tunnel: a full packet arrives, in both families", async () => {
    const { here, doctor } = makePair([4, 6], N1, N2);
    const agent = await here.up("--backend", "vxlan");
    addPod(here);
    await agent.stop();
    expect(doctor.lines("B5", ...known(here))).toEqual([
      expect.stringMatching(
        /^PASS B5 1430 bytes for pods fit eth0 .*; a full packet reaches 2 of 2 peers asked$/,
      ),
    ]);
    expect(doctor.lines("B5", ...known(here), "--no-probe")[0]).toEndWith("; no packet was sent to try it");
  });

  test("before an agent: what would fit", () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2));
    expect(doctor.lines("B5", ...known(here))).toEqual([
      "PASS B5 1500 bytes for pods fit eth0 (1500); a full packet reaches 1 of 1 peer asked",
    ]);
  });

  test("a way between the nodes that takes less than their links say", () => {
    const { here, doctor } = makePair([4, 6], N1, N2);
    between(here, "link", "set", "port2", "mtu", "1400");
    expect(doctor.findings("B5", ...known(here))).toMatchObject([
      {
        level: "fail",
        message: "packets of 1500 bytes that nobody may cut do not reach n2, n2; small ones do",
        evidence: [
          "n2 10.9.0.2 dev eth0: 100 bytes answered, 1500 bytes silent",
          "n2 fd09::2 dev eth0: 100 bytes answered, 1500 bytes silent",
        ],
        fix: ["ping -M do -c 1 -s 1472 10.9.0.2", expect.stringContaining("ip link set eth0 mtu SIZE")],
      },
    ]);
  });

  test("a router that says so, even after the kernel has learned it", () => {
    const { here, doctor, there } = makePair([4], v4(N1), { ...v4(N2), addresses: ["10.8.0.3"] });
    there.ip("addr", "add", "10.9.0.254/24", "dev", "eth0");
    there.box.node("sysctl", "-qw", "net.ipv4.ip_forward=1");
    const pod = there.box.pod();
    there.ip("link", "add", "far", "mtu", "1400", "type", "veth", "peer", "name", "eth0", "netns", pod.netns);
    there.ip("addr", "add", "10.8.0.1/24", "dev", "far");
    there.ip("link", "set", "far", "up");
    const far = (...words: string[]) => there.box.node("nsenter", `--net=${pod.netns}`, "ip", ...words);
    far("addr", "add", "10.8.0.3/24", "dev", "eth0");
    far("link", "set", "eth0", "up");
    far("route", "add", "default", "via", "10.8.0.1");
    for (const _ of [1, 2]) {
      // Pods have 1450 behind a tunnel, so that the outer packet is as large as the link.
      expect(doctor.findings("B5", ...known(here))[0]).toMatchObject({
        level: "fail",
        evidence: ["n2 10.8.0.3 dev eth0: 100 bytes answered, 1500 bytes too big"],
      });
    }
  });

  test("a tunnel, a bridge and a pod's link that somebody has changed", async () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2));
    const agent = await here.up("--backend", "vxlan");
    const pod = addPod(here);
    await agent.stop();
    const [veth = ""] = here.box.hostVeths();
    here.ip("link", "set", "minicni.vxlan", "mtu", "1500");
    here.ip("link", "set", veth, "mtu", "1400");
    here.ip("link", "set", "minicni0", "mtu", "1300");
    const found = doctor.findings("B5", ...known(here));
    expect(found.map(({ level, message, fix }) => [level, message, fix[0]])).toEqual([
      ["fail", "minicni.vxlan has an MTU of 1500 bytes, wanted 1450", "ip link set minicni.vxlan mtu 1450"],
      ["fail", "minicni0 has an MTU of 1300 bytes, and pods have 1450", "ip link set minicni0 mtu 1450"],
      [
        "fail",
        `pod ${pod.id}/eth0: the pod's end of its link has 1450 bytes, the node's 1400`,
        `ip link set ${veth} mtu 1450`,
      ],
    ]);
    for (const { fix } of found) here.box.node(...(fix[0] ?? "").split(" "));
    expect(doctor.lines("B5", ...known(here))).toEqual([expect.stringMatching(/^PASS /)]);
  });

  test("a pod that came when the way was wider", async () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2));
    const agent = await here.up("--backend", "vxlan");
    const pod = addPod(here);
    await agent.stop();
    const [veth = ""] = here.box.hostVeths();
    here.ip("link", "set", veth, "mtu", "1500");
    here.box.node("nsenter", `--net=${pod.netns}`, "ip", "link", "set", "eth0", "mtu", "1500");
    expect(doctor.findings("B5", ...known(here), "--no-probe")).toMatchObject([
      {
        level: "fail",
        message: `1 pod has a larger MTU than the 1450 bytes of this node: ${pod.id}/eth0`,
        evidence: [`${pod.id}/eth0: ${veth} mtu 1500, eth0 in the pod mtu 1500`],
        fix: [`ip link set ${veth} mtu 1450 && nsenter --net=${pod.netns} ip link set eth0 mtu 1450`],
      },
    ]);
  });

  test("an uplink that became narrower while no agent was there to follow", async () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2));
    await (await here.up("--backend", "host-gw")).stop();
    here.ip("link", "set", "eth0", "mtu", "1400");
    expect(doctor.findings("B5", ...known(here), "--no-probe")[0]).toMatchObject({
      level: "fail",
      message: "pods have an MTU of 1500 bytes, and only 1400 fit eth0 (1400)",
    });
  });
});
