import { describe, expect, test } from "bun:test";
import { cniConfigsCheck } from "../../../src/doctor/checks/a7-cni-configs.ts";
import type { CniConfigs } from "../../../src/doctor/sections/cni-configs.ts";
import { findingsOf, linesOf } from "./facts.ts";

const EMPTY: CniConfigs = {
  confDir: "/etc/cni/net.d",
  files: [],
  before: [],
  links: [],
  chains: [],
  tables: [],
  routes: [],
  programs: [],
  seesHost: true,
  unseen: [],
};
const OURS = {
  name: "10-minicni.conflist",
  kind: 'network "minicni", plugin minicni',
  fault: null,
  isOurs: true,
};
const FLANNEL = {
  name: "10-flannel.conflist",
  kind: 'network "cbr0", plugins flannel, portmap',
  fault: null,
  isOurs: false,
};
const PODMAN = {
  name: "87-podman.conflist",
  kind: 'network "podman", plugin bridge',
  fault: null,
  isOurs: false,
};
const BROKEN = { name: "05-site.conflist", kind: null, fault: "is no JSON (Unexpected EOF)", isOurs: false };

const of = (change: Partial<CniConfigs>) =>
  findingsOf(cniConfigsCheck, { cniConfigs: { ...EMPTY, ...change } });
const choice = (change: Partial<CniConfigs>) =>
  linesOf(of(change)).filter((line) => !line.includes("nothing is left"));
const left = (change: Partial<CniConfigs>) => of(change).filter(({ level }) => level === "warn");

describe("A7, which configuration the runtime takes", () => {
  test.each([
    ["none", [], [], "PASS A7 no network configuration in /etc/cni/net.d yet"],
    [
      "ours alone",
      [OURS],
      [],
      /^PASS A7 the runtime takes 10-minicni\.conflist \(network "minicni", plugin minicni\)$/,
    ],
    ["ours before another", [OURS, PODMAN], [], /^PASS A7 the runtime takes 10-minicni.*, the first of 2$/],
    [
      "another one that ours will be before",
      [PODMAN],
      [],
      /^PASS A7 the runtime takes 87-podman.*until minicni is installed/,
    ],
    [
      "another one before ours",
      [FLANNEL, OURS],
      ["10-flannel.conflist"],
      /^FAIL A7 the runtime takes 10-flannel\.conflist \(network "cbr0", plugins flannel, portmap\) in place of 10-minicni\.conflist$/,
    ],
    [
      "another one that will be before ours",
      [FLANNEL],
      ["10-flannel.conflist"],
      /^WARN A7 the runtime will take/,
    ],
    [
      "a broken one first",
      [BROKEN, OURS],
      ["05-site.conflist"],
      /^FAIL A7 \/etc\/cni\/net\.d\/05-site\.conflist is no JSON/,
    ],
    [
      "a broken one behind",
      [OURS, { ...BROKEN, name: "99-x.conf" }],
      [],
      /^PASS A7 the runtime takes 10-minicni/,
    ],
  ])("%s", (_what, files, before, line) => {
    const found = choice({ files, before });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(line);
  });

  test("what is in the way is moved, and nothing else", () => {
    const [found] = of({ files: [FLANNEL, OURS, PODMAN], before: [FLANNEL.name] });
    expect(found?.fix).toEqual([
      "mv /etc/cni/net.d/10-flannel.conflist /etc/cni/net.d/10-flannel.conflist.disabled",
    ]);
    expect(found?.evidence).toHaveLength(3);
  });

  test("our own file, damaged, is written again by the agent", () => {
    const [found] = of({ files: [{ ...OURS, kind: null, fault: "is empty", isOurs: false }] });
    expect(found?.fix[0]).toBe("rm /etc/cni/net.d/10-minicni.conflist");
  });
});

describe("A7, what is left of others", () => {
  test("flannel's links, chains and tables with what removes them", () => {
    const [found] = left({
      links: [
        { name: "cni0", addresses: ["10.244.1.1/24"] },
        { name: "flannel.1", addresses: ["10.244.1.0/32"] },
      ],
      chains: [
        { program: "iptables-nft", table: "filter", chain: "FLANNEL-FWD" },
        { program: "iptables-nft", table: "nat", chain: "FLANNEL-POSTRTG" },
      ],
      tables: ["inet flannel-ipv4"],
    });
    expect(found?.message).toBe(
      "left of flannel: links cni0, flannel.1; chains FLANNEL-FWD, FLANNEL-POSTRTG; table inet flannel-ipv4",
    );
    expect(found?.fix).toEqual([
      "ip link delete cni0",
      "ip link delete flannel.1",
      "iptables-nft-save | grep -v 'FLANNEL-' | iptables-nft-restore",
      "nft delete table inet flannel-ipv4",
    ]);
  });

  test("Calico's many links by their pattern, tunl0 by its address, routes by their protocol", () => {
    const names = ["cali1a", "cali2b", "cali3c", "cali4d", "cali5e", "vxlan.calico"];
    const [found] = left({
      links: [
        ...names.map((name) => ({ name, addresses: [] })),
        { name: "tunl0", addresses: ["10.244.7.0/32"] },
      ],
      routes: [{ family: 4, dst: "10.244.9.0/26", protocol: 80, dev: "vxlan.calico" }],
    });
    expect(found?.message).toMatch(/^left of Calico: links cali1a, .*, … \(7\); route 10\.244\.9\.0\/26$/);
    expect(found?.evidence.at(-1)).toBe("route 10.244.9.0/26 dev vxlan.calico proto 80 (Calico's)");
    expect(found?.fix).toEqual([
      "ip -4 route flush proto 80",
      "ip link delete vxlan.calico",
      "for link in $(ls /sys/class/net | grep '^cali[0-9a-f]'); do ip link delete \"$link\"; done",
      "ip address flush dev tunl0",
      "ip link set tunl0 down",
    ]);
  });

  test("several of them each for itself", () => {
    const links = ["weave", "cilium_host", "kube-bridge", "antrea-gw0"].map((name) => ({
      name,
      addresses: [],
    }));
    expect(left({ links }).map(({ message }) => message)).toEqual([
      "left of Cilium: link cilium_host",
      "left of kube-router: link kube-bridge",
      "left of Weave Net: link weave",
      "left of Antrea: link antrea-gw0",
    ]);
  });

  test("of one that still runs is no leftover: it is to be deleted first", () => {
    const [found] = left({ links: [{ name: "flannel.1", addresses: [] }], programs: ["flanneld"] });
    expect(found?.message).toBe("flannel runs here as well (process flanneld): link flannel.1");
    expect(found?.fix[0]).toMatch(/^# first delete flannel/);
  });

  test.each([
    ["the kernel's own tunl0", { links: [{ name: "tunl0", addresses: [] }] }],
    [
      "kube-router that enforces policies beside us",
      {
        chains: [{ program: "iptables-nft", table: "filter", chain: "KUBE-ROUTER-FORWARD" }],
        programs: ["kube-router"],
      },
    ],
    [
      "Cilium that is chained behind ours",
      {
        files: [{ ...OURS, kind: 'network "minicni", plugins minicni, cilium-cni' }],
        links: [{ name: "cilium_host", addresses: [] }],
        programs: ["cilium-agent"],
      },
    ],
    [
      "rules of a policy engine that a pod can't see run",
      { chains: [{ program: "iptables-nft", table: "filter", chain: "cali-FORWARD" }], seesHost: false },
    ],
    ["a process alone", { programs: ["flanneld"] }],
  ])("nothing of %s", (_what, change: Partial<CniConfigs>) => {
    expect(left(change)).toEqual([]);
  });
});
