import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes, must, run } from "./sandbox.ts";

afterAll(destroySandboxes);

/** VLAN filtering is a kernel's option of its own: where it is off, it is a real feature that is missing. */
const HAS_VLANS =
  run(["unshare", "--net", "ip", "link", "add", "b", "type", "bridge", "vlan_filtering", "1"]).exitCode === 0;

const vlanList = {
  cniVersion: "1.0.0",
  name: "vlans",
  plugins: [{ type: "minicni", vlan: 5, ipam: { subnet: "10.5.0.0/24" } }],
};

/** A node whose configuration asks for VLANs. */
function withVlans(node: DoctorNode): DoctorNode {
  const list = {
    ...vlanList,
    plugins: vlanList.plugins.map((plugin) => ({ ...plugin, stateDir: node.box.stateDir })),
  };
  writeFileSync(`${node.confDir}/20-vlans.conflist`, JSON.stringify(list));
  return node;
}

describe("A2, kernel features", () => {
  test("of this kernel are there, each with how that is known", () => {
    const [finding] = new DoctorNode().findings("A2");
    expect(finding?.level).toBe("pass");
    expect(finding?.message).toContain(must("uname", "-r").trim());
    expect(finding?.evidence.join("\n")).toMatch(/^veth: there/m);
  });

  test("looking leaves no link behind", () => {
    const node = new DoctorNode();
    node.findings("A2");
    expect(node.box.node("ip", "-br", "link").trim().split("\n")).toHaveLength(1);
  });

  test.skipIf(HAS_VLANS)(
    "one that is missing, and that a configuration asks for, is told with the kernel's own words",
    () => {
      const [finding] = withVlans(new DoctorNode()).findings("A2");
      expect(finding).toMatchObject({
        level: "fail",
        message: expect.stringContaining("has no VLAN filtering of bridges"),
      });
      expect(finding?.evidence[0]).toContain(
        "`ip link add mcnid0 type bridge vlan_filtering 1` in a namespace of its own: ",
      );
      expect(finding?.fix).toEqual(["# a kernel with CONFIG_BRIDGE_VLAN_FILTERING=y"]);
    },
  );

  test.skipIf(HAS_VLANS)("one that is missing, and that nobody asks for, is no finding", () => {
    const [finding] = new DoctorNode().findings("A2");
    expect(finding?.message).toContain("it has no VLAN filtering of bridges, which nothing here asks for");
  });

  const release = must("uname", "-r").trim();

  /** What the facts say of each feature: `veth: there: …`. */
  function states(node: DoctorNode): string[] {
    const file = `${node.box.dir}/facts.json`;
    node.doctor("--save", file, "--only", "A2");
    const { features } = JSON.parse(must("cat", file)).sections.kernel.seen;
    return features.map(
      (one: { name: string; state: string; detail: string }) => `${one.name}: ${one.state}: ${one.detail}`,
    );
  }

  /** A node whose disk has these modules of the kernel that runs. */
  function withModules(text: string): DoctorNode {
    const node = new DoctorNode();
    node.write(`/lib/modules/${release}/modules.dep`, text);
    return node;
  }

  test("a module on the disk counts, and is not loaded for it", () => {
    const node = withModules("kernel/drivers/net/veth.ko.xz:\nkernel/drivers/net/vxlan.ko: kernel/x.ko\n");
    const found = states(node);
    expect(found).toContain("veth: there: module veth: on the disk");
    expect(found).toContain("vxlan: there: module vxlan: on the disk");
    expect(node.findings("A2")[0]?.level).toBe("pass");
  });

  test("one that modprobe.d keeps from being loaded is told by file and line, and the command ends it", () => {
    const node = withModules("kernel/drivers/net/vxlan.ko:\n");
    node.write("/usr/lib/modprobe.d/hard.conf", "# of the firm\ninstall vxlan /bin/true\n");
    const [finding] = node.findings("A2");
    expect(finding).toMatchObject({
      level: "fail",
      message: `kernel ${release} may not load vxlan: /usr/lib/modprobe.d/hard.conf:2`,
      evidence: ["/usr/lib/modprobe.d/hard.conf:2: install vxlan /bin/true"],
    });
    const [words = ""] = finding?.fix ?? [];
    must("sh", "-c", words.replace("/usr/lib", `${node.root}/usr/lib`));
    expect(node.findings("A2")[0]?.level).toBe("pass");
  });

  test("a configuration without what a key needs is told by the key alone", () => {
    const node = withModules("kernel/drivers/net/ifb.ko:\n");
    node.write("/etc/modprobe.d/ifb.conf", "blacklist ifb\n");
    expect(node.findings("A2")[0]?.level).toBe("pass");
    const plugins = [
      {
        type: "minicni",
        stateDir: node.box.stateDir,
        egressRate: 8000,
        egressBurst: 80000,
        ipam: { subnet: "10.5.0.0/24" },
      },
    ];
    const list = { cniVersion: "1.0.0", name: "slow", plugins };
    writeFileSync(`${node.confDir}/20-slow.conflist`, JSON.stringify(list));
    expect(node.lines("A2")[0]).toBe(
      `FAIL A2 kernel ${release} may not load ifb: /etc/modprobe.d/ifb.conf:1`,
    );
  });
});
