import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { formatConflist } from "../../src/topology/conflist.ts";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const FLANNEL = JSON.stringify({
  name: "cbr0",
  cniVersion: "0.3.1",
  plugins: [{ type: "flannel" }, { type: "portmap" }],
});
const write = (node: DoctorNode, name: string, text: string) =>
  writeFileSync(`${node.confDir}/${name}`, text);
const installed = () => {
  const node = new DoctorNode();
  write(node, "10-minicni.conflist", formatConflist(node.box.stateDir));
  return node;
};
const lines = (node: DoctorNode) => node.lines("A7", "--no-probe");
const findings = (node: DoctorNode) => node.findings("A7", "--no-probe");

describe("A7, configurations", () => {
  test("our own alone is no finding, nor is what comes behind it", () => {
    const node = installed();
    const fine = [
      expect.stringMatching(/^PASS A7 the runtime takes 10-minicni/),
      "PASS A7 nothing is left of other network plugins",
    ];
    expect(lines(node)).toEqual(fine);
    write(node, "87-podman.conflist", FLANNEL);
    write(node, "99-broken.conf", "{");
    write(node, "notes.txt", "none");
    expect(lines(node)).toEqual(fine);
  });

  test("a folder without any is none", () => {
    const node = new DoctorNode();
    rmSync(node.confDir, { recursive: true });
    expect(lines(node)[0]).toMatch(/^PASS A7 no network configuration in/);
  });

  test("one that the runtime takes in place of ours, until it is moved as told", () => {
    const node = installed();
    write(node, "10-flannel.conflist", FLANNEL);
    const [found] = findings(node);
    expect(found?.level).toBe("fail");
    expect(found?.message).toBe(
      'the runtime takes 10-flannel.conflist (network "cbr0", plugins flannel, portmap) in place of 10-minicni.conflist',
    );
    expect(found?.evidence[0]).toBe(
      `${node.confDir}/10-flannel.conflist: network "cbr0", plugins flannel, portmap`,
    );
    const [, from = "", to = ""] = found?.fix[0]?.split(" ") ?? [];
    renameSync(from, to);
    expect(lines(node)[0]).toMatch(/^PASS/);
  });

  test("one that is no JSON and that the runtime reads first", () => {
    const node = installed();
    write(node, "00-site.conflist", '{"name": "x",');
    const [found] = findings(node);
    expect(found?.level).toBe("fail");
    expect(found?.message).toStartWith(`${node.confDir}/00-site.conflist is no JSON (`);
    expect(found?.cause).toContain("containerd then takes no configuration at all");
  });

  test("what a configuration holds is not kept in the facts", () => {
    const node = installed();
    write(node, "20-other.conf", JSON.stringify({ name: "x", type: "y", token: "hush-hush" }));
    const file = `${node.box.dir}/facts.json`;
    node.doctor("--save", file, "--no-probe");
    expect(node.box.node("cat", file)).toContain("20-other.conf");
    expect(node.box.node("cat", file)).not.toContain("hush-hush");
  });
});

describe("A7, leftovers", () => {
  const left = (node: DoctorNode) => findings(node).filter(({ level }) => level === "warn");

  test("flannel's, and its own commands take them away", () => {
    const node = installed();
    const { box } = node;
    box.node("ip", "link", "add", "cni0", "type", "bridge");
    box.node("ip", "addr", "add", "10.244.1.1/24", "dev", "cni0");
    box.node("ip", "link", "add", "flannel.1", "type", "vxlan", "id", "1", "dstport", "8472", "dev", "lo");
    for (const program of ["iptables-nft", "iptables-legacy"]) {
      box.node(program, "-N", "FLANNEL-FWD");
      box.node(program, "-A", "FORWARD", "-j", "FLANNEL-FWD");
    }
    box.node("iptables-nft", "-N", "SITE");
    const [found, ...others] = left(node);
    expect(others).toEqual([]);
    expect(found?.message).toBe("left of flannel: links cni0, flannel.1; chain FLANNEL-FWD");
    expect(found?.evidence).toContain("link cni0 10.244.1.1/24");
    expect(found?.evidence).toContain("iptables-legacy -t filter: chain FLANNEL-FWD");
    for (const line of found?.fix ?? []) box.node("sh", "-c", line);
    expect(left(node)).toEqual([]);
    expect(box.node("iptables-nft", "-S")).toContain("-N SITE");
  });

  test("Calico's and kube-router's, by links, chains, tables and the protocol of routes", () => {
    const node = installed();
    const { box } = node;
    for (const name of ["cali1", "cali2", "cali3", "cali4", "cali5", "kube-bridge"]) {
      box.node("ip", "link", "add", name, "type", "bridge");
    }
    box.node("ip", "link", "add", "tunl0", "type", "bridge");
    box.node("ip", "addr", "add", "10.244.7.0/32", "dev", "tunl0");
    box.node("ip", "link", "set", "cali1", "up");
    box.node("ip", "route", "add", "10.244.9.0/26", "dev", "cali1", "proto", "80");
    box.node("ip", "-6", "route", "add", "fd44:9::/64", "dev", "cali1", "proto", "17");
    box.node("iptables-nft", "-t", "raw", "-N", "cali-PREROUTING");
    box.node("nft", "add", "table", "inet", "calico");
    const found = left(node);
    expect(found.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^left of Calico: links cali1, .* \(6\); chain cali-PREROUTING; table inet calico; route 10\.244\.9\.0\/26$/,
      ),
      "left of kube-router: link kube-bridge; route fd44:9::/64",
    ]);
    expect(found[0]?.evidence).toContain("route 10.244.9.0/26 dev cali1 proto 80 (Calico's)");
    // /sys shows the links of the namespace that it was mounted in, so that this one runs where it is mounted anew.
    const inNode = (line: string) => {
      const enter = ["unshare", "--mount", "sh", "-c", `mount -t sysfs none /sys && ${line}`];
      if (line.includes("/sys/")) box.node(...enter);
      else box.node("sh", "-c", line);
    };
    for (const line of found.flatMap(({ fix }) => fix)) if (!line.startsWith("#")) inNode(line);
    expect(left(node)).toEqual([]);
  });

  test("a tunl0 without an address is the kernel's own", () => {
    const node = installed();
    node.box.node("ip", "link", "add", "tunl0", "type", "bridge");
    expect(left(node)).toEqual([]);
  });
});
