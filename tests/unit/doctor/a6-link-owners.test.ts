import { describe, expect, test } from "bun:test";
import { linkOwnersCheck } from "../../../src/doctor/checks/a6-link-owners.ts";
import type { LinkOwners } from "../../../src/doctor/sections/link-owners.ts";
import { findingsOf, linesOf } from "./facts.ts";

const NETWORKD: LinkOwners["networkd"] = {
  runs: "process 300 (systemd-network)",
  foreign: [],
  files: [],
  managed: [],
};
const UPLINK = {
  index: 2,
  name: "eth0",
  state: "configured",
  file: "/run/systemd/network/10-netplan-eth0.network",
};
const MANAGER: LinkOwners["networkManager"] = { runs: "process 301 (NetworkManager)", settings: [] };
const NONE: LinkOwners = {
  links: [
    { name: "minicni0", kind: "bridge", index: 5 },
    { name: "minicni.vxlan", kind: "vxlan", index: null },
    { name: "mcni0123456789a", kind: "veth", index: null },
  ],
  hasDirectRoutes: true,
  networkd: { ...NETWORKD, runs: null },
  networkManager: { ...MANAGER, runs: null },
};
const foreign = (file: string, value: string) => ({
  file,
  section: "Network",
  key: "ManageForeignRoutes",
  value,
});
const of = (change: Partial<LinkOwners>) =>
  findingsOf(linkOwnersCheck, { linkOwners: { ...NONE, ...change } });
const networkd = (change: Partial<LinkOwners["networkd"]>) => of({ networkd: { ...NETWORKD, ...change } });
const network = (file: string, text: string) => ({ file, text });

describe("A6, networkd and routes", () => {
  test("its default is told with the drop-in that ends it", () => {
    const [found] = networkd({ managed: [UPLINK] });
    expect(found?.level).toBe("warn");
    expect(found?.message).toBe(
      "systemd-networkd removes minicni's routes from eth0 whenever it starts anew (ManageForeignRoutes=yes)",
    );
    expect(found?.evidence).toEqual([
      "ManageForeignRoutes is not set: yes is the default",
      "/run/systemd/netif/links/2: eth0 configured by /run/systemd/network/10-netplan-eth0.network",
      "networkd runs: process 300 (systemd-network)",
    ]);
    expect(found?.fix).toEqual([
      "mkdir -p /etc/systemd/networkd.conf.d",
      "printf '[Network]\\nManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no\\n' > /etc/systemd/networkd.conf.d/90-minicni.conf",
      "systemctl restart systemd-networkd",
    ]);
  });

  test("a drop-in that says yes is told, and the new one comes behind it", () => {
    const file = "/usr/lib/systemd/networkd.conf.d/99-site.conf";
    const [found] = networkd({
      managed: [UPLINK],
      foreign: [foreign("/etc/systemd/networkd.conf", "no"), foreign(file, "yes")],
    });
    expect(found?.evidence[0]).toBe(`${file}: ManageForeignRoutes=yes`);
    expect(found?.fix[1]).toEndWith("/etc/systemd/networkd.conf.d/zz-minicni.conf");
  });

  test.each([
    ["it was told not to", { managed: [UPLINK], foreign: [foreign("/etc/systemd/networkd.conf", "no")] }],
    [
      "a word that is none counts for nothing",
      { managed: [UPLINK], foreign: [foreign("/a", "false"), foreign("/b", "maybe")] },
    ],
    ["it manages no link", {}],
    ["it leaves the link alone", { managed: [{ ...UPLINK, state: "unmanaged" }] }],
    ["it does not run", { runs: null, managed: [UPLINK] }],
  ])("nothing is told where %s", (_what, change: Partial<LinkOwners["networkd"]>) => {
    expect(networkd(change).map(({ level }) => level)).toEqual(["pass"]);
  });
});

test("A6 is content with networkd's default where all routes of ours are on the tunnel", () => {
  const found = of({ hasDirectRoutes: false, networkd: { ...NETWORKD, managed: [UPLINK] } });
  expect(found.map(({ level }) => level)).toEqual(["pass"]);
});

describe("A6, networkd and links", () => {
  const all = network("/etc/systemd/network/20-all.network", "[Match]\nName=*\n");

  test("a file that will match ours is named, with one that comes before it", () => {
    const [found] = networkd({ files: [all] });
    expect(found?.level).toBe("warn");
    expect(found?.message).toBe(
      "systemd-networkd will manage minicni's links: minicni0, minicni.vxlan, mcni*",
    );
    expect(found?.evidence[0]).toBe("/etc/systemd/network/20-all.network matches minicni0 (bridge)");
    expect(found?.fix).toEqual([
      "printf '[Match]\\nName=minicni0 minicni.vxlan* mcni*\\n[Link]\\nUnmanaged=yes\\n' > /etc/systemd/network/00-minicni.network",
      "networkctl reload",
    ]);
  });

  test("one that it manages now is a failure", () => {
    const now = { index: 5, name: "minicni0", state: "configuring", file: all.file };
    const [found] = networkd({ files: [all], managed: [now] });
    expect(found?.level).toBe("fail");
    expect(found?.evidence).toContain(`/run/systemd/netif/links/5: minicni0 configuring by ${all.file}`);
  });

  test.each([
    [
      "the first that matches leaves it alone",
      [
        network("/etc/systemd/network/00-a.network", "[Match]\nName=mini* mcni*\n[Link]\nUnmanaged=yes\n"),
        all,
      ],
    ],
    ["none matches", [network("/a/10-eth.network", "[Match]\nName=eth0\n")]],
  ])("nothing is told where %s", (_what, files) => {
    expect(networkd({ files }).map(({ level }) => level)).toEqual(["pass"]);
  });
});

describe("A6, NetworkManager", () => {
  const setting = (value: string) => ({
    file: "/etc/NetworkManager/conf.d/10-pods.conf",
    section: "keyfile",
    key: "unmanaged-devices",
    value,
  });

  test("without a word of ours is told, with the drop-in", () => {
    const [found] = of({ networkManager: MANAGER });
    expect(found?.level).toBe("warn");
    expect(found?.fix).toEqual([
      "printf '[keyfile]\\nunmanaged-devices+=interface-name:minicni0;interface-name:minicni.vxlan*;interface-name:mcni*\\n' > /etc/NetworkManager/conf.d/90-minicni.conf",
      "systemctl reload NetworkManager",
    ]);
  });

  test("with a word of some of ours names the others", () => {
    const [found] = of({ networkManager: { ...MANAGER, settings: [setting("interface-name:minicni*")] } });
    expect(found?.message).toBe("NetworkManager is not told to leave minicni's links alone: mcni*");
    expect(found?.evidence[0]).toBe(
      "/etc/NetworkManager/conf.d/10-pods.conf: [keyfile] unmanaged-devices=interface-name:minicni*",
    );
  });

  test("that leaves ours alone is no finding, as one that does not run", () => {
    expect(
      linesOf(
        of({
          networkManager: { ...MANAGER, settings: [setting("interface-name:minicni*;interface-name:mcni*")] },
        }),
      ),
    ).toEqual(["PASS A6 NetworkManager leaves minicni's links and routes alone"]);
    expect(linesOf(of({}))).toEqual(["PASS A6 neither systemd-networkd nor NetworkManager runs here"]);
  });
});
