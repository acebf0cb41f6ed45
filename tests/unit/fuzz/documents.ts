import fc from "fast-check";
import type { CniVersion } from "../../../src/cni/version.ts";
import { SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";
import type { Json } from "./values.ts";

const DNS = {
  nameservers: ["10.96.0.10"],
  domain: "cluster.local",
  search: ["svc.cluster.local"],
  options: ["ndots:5"],
};
const OLD = {
  ip4: { ip: "10.9.0.5/24", gateway: "10.9.0.1", routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }] },
  ip6: { ip: "fd00:9::5/64" },
  dns: DNS,
};
const ROUTES = [
  { dst: "0.0.0.0/0", gw: "10.9.0.1", mtu: 1400, advmss: 1360, priority: 5, table: 254, scope: 0 },
];

/** A result as a plugin before us gives it in one version. */
export function sampleResult(version: CniVersion): Json {
  if (version === "0.1.0" || version === "0.2.0") return { cniVersion: version, ...OLD };
  const isOld = version.startsWith("0.");
  return {
    cniVersion: version,
    interfaces: [
      { name: "br0", mac: "aa:bb:cc:dd:ee:01" },
      {
        name: "eth0",
        mac: "aa:bb:cc:dd:ee:02",
        sandbox: "/run/netns/c1",
        mtu: 1400,
        socketPath: "/x",
        pciID: "0000:00:1f.6",
      },
    ],
    ips: [
      { ...(isOld ? { version: "4" } : {}), address: "10.9.0.5/24", gateway: "10.9.0.1", interface: 1 },
      { ...(isOld ? { version: "6" } : {}), address: "fd00:9::5/64", interface: -1 },
    ],
    routes: ROUTES,
    dns: DNS,
  };
}

/** Configurations that an ADD takes; everything below `root`, and every key there is in one of them at least. */
export function configurations(root: string): fc.Arbitrary<{ readonly [key: string]: Json }> {
  const ipam = { dataDir: `${root}/networks` };
  const base = { name: "pods", type: "minicni", stateDir: "/run/minicni" };
  const kinds: { readonly [key: string]: Json }[] = [
    {
      ...base,
      bridge: "br0",
      isGateway: true,
      isDefaultGateway: true,
      ipMasq: true,
      mtu: 1400,
      ipam: {
        ...ipam,
        type: "host-local",
        subnet: "10.1.0.0/24",
        rangeStart: "10.1.0.10",
        rangeEnd: "10.1.0.99",
        gateway: "10.1.0.1",
        routes: ROUTES,
      },
    },
    {
      ...base,
      hairpinMode: true,
      mac: "0a:00:00:00:00:03",
      promisc: true,
      allmulti: false,
      txQLen: 500,
      sysctl: { "net.core.somaxconn": "500", "net/ipv4/conf/IFNAME/arp_filter": "1" },
      portIsolation: true,
      ipMasq: true,
      ipMasqBackend: "nftables",
      macspoofchk: true,
      dns: DNS,
      ipam: {
        ...ipam,
        ranges: [[{ subnet: "10.2.0.0/24" }], [{ subnet: "fd00:2::/64", gateway: "fd00:2::1" }]],
        routes: [{ dst: "::/0" }],
      },
    },
    {
      ...base,
      vlan: 100,
      vlanTrunk: [{ minID: 5, maxID: 7 }, { id: 9 }],
      preserveDefaultVlan: false,
      promiscMode: true,
      forceAddress: true,
      enabledad: false,
      ipam: { ...ipam, subnet: "10.3.0.0/24" },
    },
    {
      ...base,
      args: {
        cni: { mac: "0a:00:00:00:00:01", ips: ["10.4.0.9/24"], mtu: 1300, sysctl: { "net.core.x": "1" } },
      },
      capabilities: { ips: true, mac: true, bandwidth: true },
      ingressRate: 1e6,
      ingressBurst: 1e6,
      egressRate: 1e6,
      egressBurst: 1e6,
      deadline: 20,
      agentWait: 0,
      ipam: { ...ipam, subnet: "10.4.0.0/24" },
    },
    {
      ...base,
      runtimeConfig: {
        mac: "0a:00:00:00:00:02",
        ips: ["10.5.0.9"],
        ipRanges: [[{ subnet: "10.5.0.0/24" }]],
        bandwidth: { ingressRate: 1e6, ingressBurst: 4294967295, egressRate: 1e6, egressBurst: 4294967295 },
      },
      ipam: { ...ipam },
    },
    {
      ...base,
      ipam: null,
      dataDir: "/var/lib/cni/networks",
      "cni.dev/valid-attachments": [{ containerID: "c0", ifname: "eth0" }],
      "cni.dev/attachments": null,
    },
    {
      ...base,
      disableContainerInterface: true,
      "cni.dev/attachments": [{ containerID: "c0", ifname: "eth0" }],
    },
  ];
  return fc
    .record({
      kind: fc.nat(kinds.length - 1),
      version: fc.constantFrom(...SUPPORTED_VERSIONS),
      hasPrev: fc.boolean(),
    })
    .map(({ kind, version, hasPrev }) => ({
      cniVersion: version,
      ...kinds[kind],
      ...(hasPrev ? { prevResult: sampleResult(version) } : {}),
    }));
}
