import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { askTcp, KINDS, NO_PORTS, NODE, PortNode, serveTcp } from "./host-ports-node.ts";
import { BRIDGE, destroySandboxes } from "./sandbox.ts";
import { errorOf, NODE_OUTSIDE, OUTSIDE } from "./views.ts";

setDefaultTimeout(60_000);
const servers: { close(): void }[] = [];
const closeServers = () => {
  for (const server of servers.splice(0)) server.close();
};
afterEach(() => {
  closeServers();
  destroySandboxes();
});
afterAll(destroySandboxes);

const [NODE4, NODE6] = NODE;
const serve = (netns: string, port: number, name: string) => servers.push(serveTcp(netns, port, name));

for (const kind of KINDS) {
  describe(`host ports by ${kind}`, () => {
    test("from outside, of both families, whose address the pod sees", async () => {
      const node = new PortNode(kind);
      const pod = node.add(["tcp 8080 80"]);
      serve(pod.netns, 80, "pod");
      for (const [family, address] of NODE.entries())
        expect(await askTcp(node.world.netns, address, 8080)).toBe(`pod saw ${OUTSIDE[family]}`);
      node.del(pod);
      for (const address of NODE) expect(await askTcp(node.world.netns, address, 8080)).toBeNull();
      expect(node.traces()).toEqual(NO_PORTS);
    });

    test("from the node itself, by its address and by the bridge's", async () => {
      const node = new PortNode(kind);
      serve(node.add(["tcp 8080 80"]).netns, 80, "pod");
      expect(await askTcp(node.box.netns, NODE4, 8080)).toStartWith("pod saw ");
      expect(await askTcp(node.box.netns, NODE6, 8080)).toStartWith("pod saw ");
      expect(await askTcp(node.box.netns, "10.7.0.1", 8080)).toStartWith("pod saw ");
    });

    test("from the pod itself and from another one of its subnet: the answers come back", async () => {
      const node = new PortNode(kind);
      const [pod, other] = [node.add(["tcp 8080 80"]), node.add([])];
      serve(pod.netns, 80, "pod");
      for (const { netns } of [pod, other]) {
        expect(await askTcp(netns, NODE4, 8080)).toMatch(/^pod saw (10\.7\.0\.1|192\.0\.2\.2)$/);
        expect(await askTcp(netns, NODE6, 8080)).toMatch(/^pod saw (fd00:7::1|2001:db8::2)$/);
      }
    });

    test("without snat a pod does not reach itself, but the world does", async () => {
      const node = new PortNode(kind);
      const pod = node.add(["tcp 8080 80"], { snat: false });
      serve(pod.netns, 80, "pod");
      expect(await askTcp(node.world.netns, NODE4, 8080)).toBe(`pod saw ${OUTSIDE[0]}`);
      expect(await askTcp(pod.netns, NODE4, 8080, 2)).toBeNull();
    });

    test("masqAll: the pod sees an address of the node, whoever asks", async () => {
      const node = new PortNode(kind);
      serve(node.add(["tcp 8080 80"], { masqAll: true }).netns, 80, "pod");
      expect(await askTcp(node.world.netns, NODE4, 8080)).toBe("pod saw 10.7.0.1");
      expect(await askTcp(node.world.netns, NODE6, 8080)).toBe("pod saw fd00:7::1");
    });

    test("at 127.0.0.1 only with hostPortLocalhost; never by a pod's packets; ::1 never", async () => {
      const node = new PortNode(kind);
      const closed = node.add(["tcp 8080 80"]);
      const open = node.add(["tcp 8081 80"], { hostPortLocalhost: true });
      serve(closed.netns, 80, "closed");
      serve(open.netns, 80, "open");
      expect(await askTcp(node.box.netns, "127.0.0.1", 8080)).toBeNull();
      expect(await askTcp(node.box.netns, "127.0.0.1", 8081)).toBe("open saw 10.7.0.1");
      expect(await askTcp(node.box.netns, "::1", 8081)).toBeNull();
      expect(await askTcp(node.world.netns, NODE4, 8081)).toBe(`open saw ${OUTSIDE[0]}`);
      // What listens on the node's loopback alone stays there, though the bridge may route 127.0.0.0/8 now.
      serve(node.box.netns, 9999, "node");
      node.box.node(
        "ip",
        "netns",
        "exec",
        closed.netns.replace("/run/netns/", ""),
        "sh",
        "-c",
        LOOPBACK_BY_BRIDGE,
      );
      expect(await askTcp(closed.netns, "127.0.0.1", 9999, 2)).toBeNull();
      // The way is there, but for our rule.
      const flush = ["nft", "flush", "chain", "inet", "minicni_hostports", "localnet"];
      node.box.node(...(kind === "nftables" ? flush : [kind, "-t", "raw", "-F", "MINICNI-LOCALNET"]));
      expect(await askTcp(closed.netns, "127.0.0.1", 9999)).toBe("node saw 10.7.0.2");
      node.del(open);
      expect(await askTcp(node.box.netns, "127.0.0.1", 8081)).toBeNull();
    });

    test("hostIP 127.0.0.1 is a wish for it: at that address, and from nowhere else", async () => {
      const node = new PortNode(kind);
      serve(node.add(["tcp 127.0.0.1:8080 80"]).netns, 80, "pod");
      expect(await askTcp(node.box.netns, "127.0.0.1", 8080)).toBe("pod saw 10.7.0.1");
      for (const address of [NODE4, NODE6]) expect(await askTcp(node.world.netns, address, 8080)).toBeNull();
      expect(await askTcp(node.box.netns, NODE4, 8080)).toBeNull();
    });

    test("hostIP: at that address alone", async () => {
      const node = new PortNode(kind);
      node.box.node("ip", "addr", "add", "192.0.2.3/24", "dev", "up0");
      const own = ["tcp 192.0.2.3:80 80", "tcp [2001:db8::2]:81 80", "tcp 0.0.0.0:82 80", "tcp [::]:83 80"];
      serve(node.add(own).netns, 80, "pod");
      const reached = async (port: number) => {
        const addresses = [NODE4, "192.0.2.3", NODE6];
        const said = await Promise.all(addresses.map((address) => askTcp(node.world.netns, address, port)));
        return addresses.filter((_, index) => said[index] !== null);
      };
      expect(await reached(80)).toEqual(["192.0.2.3"]);
      expect(await reached(81)).toEqual([NODE6]);
      expect(await reached(82)).toEqual([NODE4, "192.0.2.3"]);
      expect(await reached(83)).toEqual([NODE6]);
    });

    test("two pods share a port by the node's addresses, one each", async () => {
      const node = new PortNode(kind);
      node.box.node("ip", "addr", "add", "192.0.2.3/24", "dev", "up0");
      serve(node.add(["tcp 192.0.2.3:80 80"]).netns, 80, "second");
      serve(node.add([`tcp ${NODE4}:80 80`]).netns, 80, "first");
      expect(await askTcp(node.world.netns, NODE4, 80)).toStartWith("first");
      expect(await askTcp(node.world.netns, "192.0.2.3", 80)).toStartWith("second");
    });

    test("what only passes the node stays as it is, to the same port of somebody else", async () => {
      const node = new PortNode(kind);
      const [pod, server] = [node.add(["tcp 8080 80"], { masqAll: true }), node.box.pod()];
      serve(pod.netns, 80, "pod");
      const enter = ["nsenter", `--net=${server.netns}`];
      node.box.node(
        "ip",
        "link",
        "add",
        "sv0",
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        server.netns,
      );
      node.box.node("ip", "addr", "add", "198.51.100.1/24", "dev", "sv0");
      node.box.node("ip", "link", "set", "sv0", "up");
      node.box.node(...enter, "ip", "addr", "add", "198.51.100.9/24", "dev", "eth0");
      node.box.node(...enter, "ip", "link", "set", "eth0", "up");
      node.box.node(...enter, "ip", "route", "add", "default", "via", "198.51.100.1");
      node.box.node(
        "nsenter",
        `--net=${node.world.netns}`,
        "ip",
        "route",
        "add",
        "198.51.100.0/24",
        "via",
        NODE4,
      );
      serve(server.netns, 8080, "server");
      expect(await askTcp(node.world.netns, "198.51.100.9", 8080)).toBe(`server saw ${OUTSIDE[0]}`);
      expect(await askTcp(pod.netns, "198.51.100.9", 8080)).toBe("server saw 10.7.0.2");
      expect(await askTcp(node.box.netns, "198.51.100.9", 8080)).toBe("server saw 198.51.100.1");
      // By the node's other address it is the pod again.
      expect(await askTcp(server.netns, NODE_OUTSIDE[0], 8080)).toStartWith("pod saw ");
    });

    test("ports of many pods, of two networks: each leads to its own; the last DEL takes all", async () => {
      const node = new PortNode(kind);
      const second = {
        name: "net2",
        bridge: "br2",
        ipam: { dataDir: node.box.dataDir, ranges: [[{ subnet: "10.72.0.0/24" }]] },
        isGateway: true,
        markMasqBit: 5,
      };
      const pods = [8001, 8002, 8003].map((port) => node.add([`tcp ${port} 80`]));
      const far = node.add(["tcp 8004 80"], second);
      for (const [index, { netns }] of [...pods, far].entries()) serve(netns, 80, `pod${index + 1}`);
      for (const index of [1, 2, 3]) {
        expect(await askTcp(node.world.netns, NODE4, 8000 + index)).toStartWith(`pod${index} `);
        expect(await askTcp(pods[0]?.netns ?? "", NODE4, 8000 + index)).toStartWith(`pod${index} `);
      }
      node.del(pods[1] ?? far);
      expect(await askTcp(node.world.netns, NODE4, 8002)).toBeNull();
      expect(await askTcp(node.world.netns, NODE4, 8003)).toStartWith("pod3 ");
      node.del(far, node.conf([], second));
      for (const pod of pods) node.del(pod);
      expect(node.traces()).toEqual(NO_PORTS);
    });
  });
}

/** Sends 127.0.0.0/8 of a pod out to the node, as a pod with CAP_NET_ADMIN could. */
const LOOPBACK_BY_BRIDGE = `sysctl -qw net.ipv4.conf.all.route_localnet=1
ip addr del 127.0.0.1/8 dev lo
ip rule add pref 1 to 127.0.0.0/8 lookup 100
ip rule add pref 2 lookup local
ip rule del pref 0
ip route add 127.0.0.0/8 via 10.7.0.1 dev eth0 table 100`;

test("the bridge routes 127.0.0.0/8 as long as somebody wants localhost, and is shut again", () => {
  const node = new PortNode();
  const routes = () => node.box.node("sysctl", "-n", `net.ipv4.conf.${BRIDGE}.route_localnet`).trim();
  const local = { hostPortLocalhost: true };
  node.add(["tcp 8080 80"]);
  expect(routes()).toBe("0");
  const [one, other] = [node.add(["tcp 8081 80"], local), node.add(["tcp 8082 80"], local)];
  expect(routes()).toBe("1");
  expect(node.box.node("sysctl", "-n", "net.ipv4.conf.all.route_localnet").trim()).toBe("0");
  node.del(one);
  expect(routes()).toBe("1");
  node.del(other);
  expect(routes()).toBe("0");
  // That somebody shuts it is told by CHECK.
  const checked = node.box.pod();
  const conf = node.conf(["tcp 8083 80"], local);
  const prevResult = node.box.add(checked, conf);
  node.box.node("sysctl", "-qw", `net.ipv4.conf.${BRIDGE}.route_localnet=0`);
  const { details } = errorOf(node.box.call("CHECK", checked, { ...conf, prevResult }));
  expect(details).toContain(`rules of host ports are not as they were made: route_localnet of ${BRIDGE}`);
  node.del(checked);
  // A bridge that somebody took away is no reason to fail.
  const last = node.add(["tcp 8081 80"], local);
  node.box.node("ip", "link", "del", BRIDGE);
  node.del(last);
});
