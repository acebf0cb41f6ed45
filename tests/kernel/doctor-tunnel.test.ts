import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type AgentNode, destroyNodes, N1, N2, v4, waitFor } from "./agent.ts";
import { known, loadRules, makePair } from "./doctor-network.ts";
import { run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

const VXLAN = ["--backend", "vxlan"];
const IN = "type filter hook prerouting priority -300 ;";

/** Two nodes with a tunnel between them, whose agents have ended. */
async function makeTunnel(families: readonly (4 | 6)[] = [4, 6]) {
  const nodes = families.length === 1 ? [v4(N1), v4(N2)] : [N1, N2];
  const made = makePair(families, ...nodes);
  for (const node of [made.here, made.there]) await (await node.up(...VXLAN)).stop();
  return made;
}

/** A program that holds UDP port 8472 of a node. */
async function holdPort(node: AgentNode) {
  const script = `${import.meta.dir}/../e2e/udp-main.ts`;
  const child = Bun.spawn({
    cmd: ["nsenter", `--net=${node.netns}`, process.execPath, script, "serve", "rival", "8472"],
    stdio: ["ignore", "ignore", "ignore"],
  });
  const isBound = () => run(["nsenter", `--net=${node.netns}`, "ss", "-Huln", "sport = 8472"]).stdout !== "";
  await waitFor("the port is taken", isBound);
  return child;
}

/** Its kernel leaves the sum over the pseudo header in the checksum (RFC 768): 10.244.1.0 to 10.244.2.0, 32 bytes. */
function unfinishedChecksum(): number {
  let sum = 17 + 32 + 8;
  for (const word of [0x0af4, 0x0100, 0x0af4, 0x0200]) sum += word;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe("B6, the tunnel", () => {
  test("that works is no finding, in both families", async () => {
    const { here, doctor } = await makeTunnel();
    expect(doctor.lines("B6", ...known(here))).toEqual([
      "PASS B6 minicni.vxlan (IPv4, UDP 8472): 1 pod CIDR behind it, 1 of 1 asked answer",
      "PASS B6 minicni.vxlan6 (IPv6, UDP 8472): 1 pod CIDR behind it, 1 of 1 asked answer",
    ]);
  });

  test("of a node without an agent is skipped", () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2));
    expect(doctor.lines("B6", ...known(here))).toEqual([
      "SKIP B6 tunnel: no agent works here (no agent.json, no node.json)",
    ]);
  });

  test("UDP that a firewall of the peer drops, of one family", async () => {
    const { here, there, doctor } = await makeTunnel();
    loadRules(there, IN, "meta nfproto ipv6 udp dport 8472 drop");
    const found = doctor.findings("B6", ...known(here));
    expect(found.map(({ level, message }) => `${level} ${message}`)).toEqual([
      "fail UDP 8472 (IPv6) is lost between this node and n2: nothing comes through minicni.vxlan6, though the node answers",
      "pass minicni.vxlan (IPv4, UDP 8472): 1 pod CIDR behind it, 1 of 1 asked answer",
    ]);
    expect(found[0]?.evidence).toEqual([
      "n2: fd09::2 answers; fd44:0:0:2:: through the tunnel is silent, with a checksum by the kernel it is silent",
    ]);
    expect(found[0]?.fix[0]).toBe("ip6tables -I INPUT -p udp --dport 8472 -s fd09::2 -j ACCEPT");
    expect(doctor.findings("B6", ...known(here), "--no-probe").map(({ level }) => level)).toEqual([
      "pass",
      "pass",
    ]);
  });

  test("a NIC that leaves checksums unfinished", async () => {
    const { here, there, doctor } = await makeTunnel([4]);
    // From the outer UDP header: itself, VXLAN, Ethernet, the inner IP header, then 6 bytes into the inner UDP header.
    const bits = (8 + 8 + 14 + 20 + 6) * 8;
    loadRules(there, IN, `udp dport 8472 @th,${bits},16 ${unfinishedChecksum()} drop`);
    expect(doctor.findings("B6", ...known(here))).toMatchObject([
      {
        level: "fail",
        message: "packets whose checksum minicni.vxlan leaves to hardware do not arrive at n2",
        fix: ["ethtool -K minicni.vxlan tx-checksum-ip-generic off"],
      },
    ]);
  });

  test("entries of peers that somebody removed; what to do heals it", async () => {
    const { here, doctor } = await makeTunnel([4]);
    const [entry = ""] = here.forwarding();
    const mac = entry.split(" ")[0] ?? "";
    here.bridge("fdb", "del", mac, "dev", "minicni.vxlan", "dst", "10.9.0.2");
    here.ip("neigh", "del", "10.244.2.0", "dev", "minicni.vxlan");
    const found = doctor.findings("B6", ...known(here));
    const [finding] = found;
    expect(found[0]).toMatchObject({
      level: "fail",
      message:
        "minicni.vxlan lacks 1 forwarding entry, 1 neighbour entry of the peers of 1 pod CIDR behind it",
    });
    for (const command of finding?.fix ?? []) here.box.node(...command.split(" "));
    expect(doctor.findings("B6", ...known(here))[0]?.level).toBe("pass");
  });

  test("entries of a peer that is gone", async () => {
    const { here, doctor } = await makeTunnel([4]);
    here.nodes(v4(N1));
    expect(doctor.findings("B6", ...known(here))[0]).toMatchObject({
      level: "warn",
      message: "minicni.vxlan has 2 entries of peers that are gone",
    });
  });

  test("a device that somebody took down, or made another one of", async () => {
    const { here, doctor } = await makeTunnel([4]);
    here.ip("link", "set", "minicni.vxlan", "down");
    const down = doctor.findings("B6", ...known(here))[0];
    expect(down?.message).toBe("minicni.vxlan is down: 1 pod CIDR behind it can't be reached");
    expect(down?.fix).toContain("ip link set dev minicni.vxlan up");
    here.ip("link", "del", "minicni.vxlan");
    here.ip("link", "add", "minicni.vxlan", "type", "bridge");
    expect(doctor.findings("B6", ...known(here))[0]).toMatchObject({
      level: "fail",
      message: "minicni.vxlan is a bridge and no VXLAN device",
      fix: ["ip link del minicni.vxlan"],
    });
  });

  test("a twin with our VNI and port is named", async () => {
    const { here, doctor } = await makeTunnel([4]);
    here.ip("link", "del", "minicni.vxlan");
    const twin = ["type", "vxlan", "id", "157", "dstport", "8472", "local", "10.9.0.1"];
    here.ip("link", "add", "flannel.157", ...twin);
    const [finding] = doctor.findings("B6", ...known(here));
    expect(finding?.message).toBe("minicni.vxlan is not there: 1 pod CIDR behind it can't be reached");
    expect(finding?.evidence).toContain("flannel.157 vxlan id 157 local 10.9.0.1 dstport 8472");
    expect(finding?.fix[0]).toBe("ip link del flannel.157");
  });

  test("a program on our port is named", async () => {
    const { here, doctor } = await makeTunnel([4]);
    here.ip("link", "set", "minicni.vxlan", "down");
    const child = await holdPort(here);
    try {
      const [finding] = doctor.findings("B6", ...known(here));
      expect(finding?.message).toBe("minicni.vxlan is down: 1 pod CIDR behind it can't be reached");
      expect(finding?.cause).toMatch(new RegExp(`\\(pid ${child.pid}\\) has the UDP port 8472`));
    } finally {
      child.kill();
      await child.exited;
    }
  });
});
