import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

/** A node with an uplink that networkd has set up. */
function withNetworkd(): DoctorNode {
  const node = new DoctorNode();
  node.box.node("ip", "link", "add", "eth0", "type", "bridge");
  node.write("/run/systemd/netif/state", "OPER_STATE=routable\n");
  manages(node, "eth0", "/run/systemd/network/10-eth0.network");
  node.write("/run/systemd/network/10-eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
  return node;
}

/** networkd's own file of a link. */
function manages(node: DoctorNode, name: string, file: string): void {
  const index = node.box.node("ip", "-o", "link", "show", name).split(":")[0];
  node.write(`/run/systemd/netif/links/${index}`, `ADMIN_STATE=configured\nNETWORK_FILE=${file}\n`);
}

const lines = (node: DoctorNode) => node.lines("A6", "--no-probe");
const finding = (node: DoctorNode) => node.findings("A6", "--no-probe")[0];

/** Runs the printf of a fix, below the node's root folder. */
function follow(node: DoctorNode, fix: readonly string[]): void {
  for (const line of fix.filter((each) => /^(printf|mkdir)/.test(each))) {
    node.box.node("sh", "-c", line.replace(" /etc/", ` ${node.root}/etc/`));
  }
}

const FINE = "PASS A6 systemd-networkd leaves minicni's links and routes alone";

describe("A6, systemd-networkd", () => {
  test("does not run: nothing is told", () => {
    const node = new DoctorNode();
    node.write("/etc/systemd/network/20-all.network", "[Match]\nName=*\n");
    expect(lines(node)).toEqual(["PASS A6 neither systemd-networkd nor NetworkManager runs here"]);
  });

  test("removes routes by default, until the drop-in is there that the fix writes", () => {
    const node = withNetworkd();
    const found = finding(node);
    expect(found?.level).toBe("warn");
    expect(found?.message).toMatch(/removes minicni's routes from eth0 .*ManageForeignRoutes=yes/);
    expect(found?.evidence[1]).toMatch(
      /^\/run\/systemd\/netif\/links\/\d+: eth0 configured by \/run\/systemd\/network/,
    );
    follow(node, found?.fix ?? []);
    expect(lines(node)).toEqual([FINE]);
  });

  test("counts drop-ins by their names, whatever their folders", () => {
    const node = withNetworkd();
    node.write("/etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=no\n");
    expect(lines(node)).toEqual([FINE]);
    node.write("/usr/lib/systemd/networkd.conf.d/95-vendor.conf", "[Network]\nManageForeignRoutes=yes\n");
    expect(finding(node)?.evidence[0]).toBe(
      "/usr/lib/systemd/networkd.conf.d/95-vendor.conf: ManageForeignRoutes=yes",
    );
    const fix = finding(node)?.fix ?? [];
    expect(fix[1]).toContain("zz-minicni.conf");
    follow(node, fix);
    expect(lines(node)).toEqual([FINE]);
  });

  test("does not read a file that one of the same name in /etc hides", () => {
    const node = withNetworkd();
    node.write("/usr/lib/systemd/networkd.conf.d/95-vendor.conf", "[Network]\nManageForeignRoutes=yes\n");
    node.write("/etc/systemd/networkd.conf.d/50-site.conf", "[Network]\nManageForeignRoutes=no\n");
    expect(lines(node)[0]).toMatch(/^WARN/);
    symlinkSync("/dev/null", `${node.root}/etc/systemd/networkd.conf.d/95-vendor.conf`);
    expect(lines(node)).toEqual([FINE]);
  });

  test("will take our links by a file for all, and has the bridge already: told with the file that comes first", () => {
    const node = withNetworkd();
    node.write("/etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=no\n");
    const file = "/etc/systemd/network/20-all.network";
    node.write(file, "[Match]\nName=*\n[Network]\nDHCP=yes\n");
    expect(finding(node)?.level).toBe("warn");
    node.box.node("ip", "link", "add", "minicni0", "type", "bridge");
    manages(node, "minicni0", file);
    const found = finding(node);
    expect(found?.level).toBe("fail");
    expect(found?.message).toMatch(
      /^systemd-networkd manages minicni's links: minicni0, minicni\.vxlan, minicni\.vxlan6, mcni/,
    );
    expect(found?.evidence[0]).toBe(`${file} matches minicni0 (bridge)`);
    follow(node, found?.fix ?? []);
    expect(lines(node)).toEqual([FINE]);
  });

  test("is left alone with what systemd itself ships, and with other links' files", () => {
    const node = withNetworkd();
    node.write("/etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=no\n");
    node.write("/usr/lib/systemd/network/80-container-ve.network", "[Match]\nKind=veth\nName=ve-*\n");
    node.write("/usr/lib/systemd/network/89-ethernet.network", "[Match]\nType=ether\nKind=!*\n");
    node.write("/etc/systemd/network/30-veth.network", "[Match]\nName=veth*\n");
    expect(lines(node)).toEqual([FINE]);
  });
});

test("A6 tells NetworkManager's drop-in, and is content with it", () => {
  const node = new DoctorNode();
  node.write("/run/NetworkManager/devices/2", "[device]\nmanaged=true\n");
  node.write("/etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\n");
  node.write(
    "/usr/lib/NetworkManager/conf.d/10-x.conf",
    "[keyfile]\nunmanaged-devices=interface-name:docker*\n",
  );
  const found = finding(node);
  expect(found?.level).toBe("warn");
  expect(found?.evidence[0]).toBe(
    "/usr/lib/NetworkManager/conf.d/10-x.conf: [keyfile] unmanaged-devices=interface-name:docker*",
  );
  node.write("/etc/NetworkManager/conf.d/.keep", "");
  follow(node, found?.fix ?? []);
  expect(lines(node)).toEqual(["PASS A6 NetworkManager leaves minicni's links and routes alone"]);
});
