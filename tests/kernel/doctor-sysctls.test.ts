import { afterAll, describe, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, waitFor } from "./agent.ts";
import { N1, N3, v4 } from "./agent-cluster.ts";
import { DoctorNode } from "./doctor.ts";
import { must, run } from "./sandbox.ts";

afterAll(destroyNodes);

/** A node with uplink, whose Node has pods of both families; no agent puts anything back. */
function nodes() {
  const agent = new AgentNode();
  agent.nodes(N1);
  const doctor = new DoctorNode(agent.box);
  const args = ["--nodes", agent.nodesFile, "--node", "n1"];
  agent.box.node("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  return {
    agent,
    doctor,
    lines: (only: string) => doctor.lines(only, ...args),
    of: (only: string) => doctor.findings(only, ...args),
  };
}

describe("A3, forwarding", () => {
  test("on is no finding", () => {
    expect(nodes().lines("A3")).toEqual(["PASS A3 forwarding: IPv4 on, IPv6 on"]);
  });

  test("that somebody turned off is told with the value and the command, which ends it", () => {
    const { agent, of, lines } = nodes();
    agent.box.node("sysctl", "-qw", "net.ipv4.ip_forward=0");
    const [finding] = of("A3");
    expect(finding).toMatchObject({ level: "fail", message: "IPv4 forwarding is off" });
    expect(finding?.evidence).toEqual(["net.ipv4.ip_forward = 0"]);
    agent.box.node(...((finding?.fix[0] ?? "").split(" ") as [string]));
    expect(lines("A3")).toEqual(["PASS A3 forwarding: IPv4 on, IPv6 on"]);
  });

  test("of one link that somebody turned off is told by the link's name", () => {
    const { agent, lines } = nodes();
    agent.box.node("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0");
    expect(lines("A3")).toEqual(["FAIL A3 IPv4 forwarding is off on eth0"]);
  });

  test("that a file turns off at the next boot is told by file and line; the last file counts", () => {
    const { doctor, lines } = nodes();
    doctor.write("/etc/sysctl.d/90-hardening.conf", "# of the firm\nnet.ipv4.ip_forward = 0\n");
    expect(lines("A3")).toEqual([
      "WARN A3 IPv4 forwarding is on, and /etc/sysctl.d/90-hardening.conf:2 turns it off again",
    ]);
    doctor.write("/usr/lib/sysctl.d/95-pods.conf", "net/ipv4/ip_forward=1\n");
    expect(lines("A3")).toEqual(["PASS A3 forwarding: IPv4 on, IPv6 on"]);
  });

  test("what a link of neither pods nor peers does is its own affair", () => {
    const { agent, lines } = nodes();
    agent.ip("link", "add", "admin0", "type", "bridge");
    agent.box.node("sysctl", "-qw", "net.ipv4.conf.admin0.forwarding=0");
    expect(lines("A3")).toEqual(["PASS A3 forwarding: IPv4 on, IPv6 on"]);
  });

  test("that new links would not begin with is told, and the command ends it", () => {
    const { agent, doctor, of, lines } = nodes();
    doctor.write("/usr/lib/sysctl.d/50-hard.conf", "net.ipv4.conf.default.forwarding = 0\n");
    agent.box.node("sysctl", "-qw", "net.ipv4.conf.default.forwarding=0");
    const [finding] = of("A3");
    expect(finding?.message).toBe("IPv4 forwarding is on, but off for links that are made from now on");
    expect(finding?.evidence).toContain(
      "/usr/lib/sysctl.d/50-hard.conf:1: net.ipv4.conf.default.forwarding = 0",
    );
    agent.ip("link", "add", "minicni0", "type", "bridge");
    expect(lines("A3")[0]).toBe("FAIL A3 IPv4 forwarding is off on minicni0");
    agent.ip("link", "del", "minicni0");
    agent.box.node(...((finding?.fix[0] ?? "").split(" ") as [string]));
    agent.ip("link", "add", "minicni0", "type", "bridge");
    expect(lines("A3")[0]).toBe("PASS A3 forwarding: IPv4 on, IPv6 on");
  });

  test("/etc/sysctl.conf is read where systemd reads it: by Debian's link, in the order of its name", () => {
    const { doctor, lines } = nodes();
    doctor.write("/etc/sysctl.conf", "net.ipv4.ip_forward=0\n");
    expect(lines("A3")[0]).toStartWith("WARN A3 IPv4 forwarding is on, and /etc/sysctl.conf:1");
    doctor.write("/usr/lib/systemd/systemd-sysctl", "");
    expect(lines("A3")[0]).toStartWith("PASS");
    doctor.write("/etc/sysctl.d/10-first.conf", "net.ipv4.ip_forward = 1\n");
    symlinkSync("/etc/sysctl.conf", `${doctor.root}/etc/sysctl.d/99-sysctl.conf`);
    expect(lines("A3")[0]).toStartWith("WARN A3 IPv4 forwarding is on, and /etc/sysctl.conf:1");
    doctor.write("/etc/sysctl.d/99-zz.conf", "net.ipv4.conf.all.forwarding = 1\n");
    expect(lines("A3")[0]).toStartWith("PASS");
  });

  /** A node whose eth0 has just heard a router, and keeps the default route from it. */
  async function advertised() {
    const node = nodes();
    const { agent } = node;
    agent.ip("route", "del", "default", "via", "fd09::fe");
    agent.box.node("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.eth0.accept_ra=1");
    const router = `${agent.box.name}-pod1`;
    must("ip", "-n", router, "addr", "add", "fe80::fe/64", "dev", "lan", "nodad");
    const script = `${import.meta.dir}/advertise-main.ts`;
    must("ip", "netns", "exec", router, process.execPath, script, "lan");
    const route = () => agent.ip("-6", "route", "show", "default");
    await waitFor("the route by advertisement", () => route().includes("proto ra"), route);
    return node;
  }

  test("a link that ignores advertisements since the node forwards is told with what is lost", async () => {
    const { agent, of, lines } = await advertised();
    // Before the agent, which would have set accept_ra first; k3s#5019.
    agent.box.node("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1");
    expect(agent.ip("-6", "route", "show", "default")).toBe("");
    const [finding, ...rest] = of("A3");
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      level: "fail",
      message: "eth0 ignores router advertisements: its default route of IPv6 is gone, its addresses will go",
    });
    expect(finding?.evidence).toEqual([
      "net.ipv6.conf.eth0.accept_ra = 1",
      "net.ipv6.conf.eth0.forwarding = 1",
    ]);
    agent.box.node(...((finding?.fix[0] ?? "").split(" ") as [string]));
    expect(lines("A3")).toEqual(["PASS A3 forwarding: IPv4 on, IPv6 on"]);
  });

  test("one that listened, and was told to stop, is told while the route still is there", async () => {
    const { agent, doctor, of, lines } = await advertised();
    agent.box.node("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2");
    agent.box.node("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1");
    expect(lines("A3")).toEqual(["PASS A3 forwarding: IPv4 on, IPv6 on"]);
    doctor.write("/etc/sysctl.d/60-ra.conf", "net.ipv6.conf.eth0.accept_ra = 1\n");
    agent.box.node("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1");
    const [finding] = of("A3");
    expect(finding).toMatchObject({
      level: "warn",
      message: "the default route of IPv6 by eth0 came by router advertisement, and will not be renewed",
    });
    expect(finding?.evidence).toContain("/etc/sysctl.d/60-ra.conf:1: net.ipv6.conf.eth0.accept_ra = 1");
    expect(finding?.fix[1]).toBe(
      "sed -i '1s/=.*/= 2/' /etc/sysctl.d/60-ra.conf  # net.ipv6.conf.eth0.accept_ra",
    );
  });
});

describe("A4, reverse-path filter", () => {
  test("loose is no finding", () => {
    const { agent, of } = nodes();
    agent.box.node("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2");
    expect(of("A4").map(({ level, message }) => [level, message])).toEqual([
      ["pass", "reverse-path filter: eth0 loose"],
    ]);
  });

  test("strict on the tunnel is told with what the kernel dropped for it, and the command ends that", () => {
    const { agent, doctor, of } = nodes();
    const other = new AgentNode([4], 2, agent);
    for (const [node, own, peer] of [
      [agent, 1, 2],
      [other, 2, 1],
    ] as const) {
      node.box.node("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0");
      const way = ["dev", "eth0", "local", `10.9.0.${own}`, "remote", `10.9.0.${peer}`, "dstport", "8472"];
      node.ip("link", "add", "minicni.vxlan", "type", "vxlan", "id", "157", ...way);
      node.ip("addr", "add", `10.244.${own}.0/32`, "dev", "minicni.vxlan");
      node.ip("link", "set", "minicni.vxlan", "up");
      node.ip("route", "add", `10.244.${peer}.0/24`, "dev", "minicni.vxlan");
    }
    agent.ip("addr", "add", "10.244.1.1/32", "dev", "lo");
    const reaches = (source: string) =>
      run(["nsenter", `--net=${other.netns}`, "ping", "-c", "1", "-W", "1", "-I", source, "10.244.1.1"])
        .exitCode === 0;
    agent.box.node("sysctl", "-qw", "net.ipv4.conf.minicni/vxlan.rp_filter=0");
    expect([reaches("10.244.2.0"), reaches("10.9.0.2")]).toEqual([true, true]);
    expect(of("A4")[0]?.level).toBe("pass");

    doctor.write("/usr/lib/sysctl.d/50-redhat.conf", "net.ipv4.conf.*.rp_filter = 1\n");
    agent.box.node("sysctl", "-qw", "net.ipv4.conf.minicni/vxlan.rp_filter=1");
    expect([reaches("10.244.2.0"), reaches("10.9.0.2")]).toEqual([true, false]);
    const [finding] = of("A4");
    expect(finding).toMatchObject({
      level: "warn",
      message: "strict reverse-path filtering on minicni.vxlan",
    });
    expect(finding?.evidence).toContain("net.ipv4.conf.minicni/vxlan.rp_filter = 1");
    expect(finding?.evidence).toContain("dropped for it in this namespace: 1 (TcpExtIPReversePathFilter)");
    expect(finding?.evidence).toContain("/usr/lib/sysctl.d/50-redhat.conf:1: net.ipv4.conf.*.rp_filter = 1");
    expect(finding?.fix[1]).toStartWith("echo 'net.ipv4.conf.minicni/vxlan.rp_filter = 2' >> /etc/sysctl.d/");

    agent.box.node(...((finding?.fix[0] ?? "").split(" ") as [string]));
    expect(reaches("10.9.0.2")).toBe(true);
    doctor.write("/etc/sysctl.d/99-zz-minicni.conf", "net.ipv4.conf.minicni/vxlan.rp_filter = 2\n");
    expect(of("A4").map(({ level }) => level)).toEqual(["pass"]);
  });

  test("of the tunnel of a running agent is loose, whatever all and a file say", async () => {
    const node = new AgentNode([4]);
    node.box.node("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1");
    node.nodes(v4(N1), v4(N3));
    await node.up();
    const doctor = new DoctorNode(node.box);
    doctor.write("/usr/lib/sysctl.d/50-redhat.conf", "net.ipv4.conf.*.rp_filter = 1\n");
    const [finding] = doctor.findings("A4", "--nodes", node.nodesFile, "--node", "n1");
    expect(finding?.level).toBe("pass");
    expect(finding?.message).toContain(
      "minicni.vxlan loose; /usr/lib/sysctl.d/50-redhat.conf:1 makes the tunnel strict, which the agent takes back",
    );
  });

  test("that a file makes strict is told by file and line", () => {
    const { agent, doctor, of } = nodes();
    agent.ip("link", "add", "minicni.vxlan", "type", "vxlan", "id", "157", "dev", "eth0", "dstport", "8472");
    agent.box.node(
      "sysctl",
      "-qw",
      "net.ipv4.conf.all.rp_filter=0",
      "net.ipv4.conf.minicni/vxlan.rp_filter=0",
    );
    doctor.write("/etc/sysctl.d/50-cis.conf", "net.ipv4.conf.all.rp_filter = 1\n");
    expect(of("A4")[0]?.message).toBe(
      "/etc/sysctl.d/50-cis.conf:1 makes reverse-path filtering strict on minicni.vxlan again",
    );
  });
});

describe("A12, page size", () => {
  test("of this kernel is what getconf says", () => {
    const size = Number(must("getconf", "PAGESIZE").trim());
    const [finding] = nodes().of("A12");
    expect(finding?.evidence).toEqual([`page size: ${size} bytes`]);
    expect(finding?.level).toBe(size < 65_536 ? "pass" : "warn");
  });

  test("of 64 KiB is told", () => {
    const { doctor } = nodes();
    // A kernel has but one, so that the facts are changed: they are as this one gave them otherwise.
    const file = `${doctor.box.dir}/facts.json`;
    doctor.doctor("--save", file, "--only", "A12");
    const facts = JSON.parse(must("cat", file));
    facts.sections.pageSize.seen.bytes = 65_536;
    writeFileSync(file, JSON.stringify(facts));
    expect(doctor.lines("A12", "--from", file)).toEqual([
      "WARN A12 pages of 64 KiB: what runs here takes more memory than on pages of 4 KiB",
    ]);
  });
});
