import { expect } from "bun:test";
import { type Json, must, type Pod, Sandbox } from "../kernel/sandbox.ts";
import { addressesOf } from "../kernel/views.ts";
import { addSidePlugin, type ListResult, makePluginFolder, type PluginConf, Runtime } from "./conflist.ts";
import { ask, connectNeighbour, NODE_ADDRESSES, serve } from "./traffic.ts";

/** The versions that lists of Debian's reference plugins can have. */
export const VERSIONS = ["0.3.1", "0.4.0", "1.0.0"];
export const PORTMAP = { type: "portmap", snat: true, capabilities: { portMappings: true } };
export const BANDWIDTH = { type: "bandwidth", capabilities: { bandwidth: true } };
export const FIREWALL = { type: "firewall", backend: "iptables" };
export const SBR: PluginConf = { type: "sbr" };

/** Capability arguments as a runtime gives them. */
export const MAC = { mac: "02:00:5e:00:53:07" };
export const RATE = {
  bandwidth: {
    ingressRate: 80_000_000,
    ingressBurst: 8_000_000,
    egressRate: 40_000_000,
    egressBurst: 8_000_000,
  },
};
export const MAPPING = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
const BYSTANDER = { ...RATE, portMappings: [{ hostPort: 8081, containerPort: 80, protocol: "tcp" }] };

/** A node with a neighbour outside, and a pod by a long list that is served all the time: no test may take its own. */
export class ChainLab {
  readonly node = new Sandbox();
  readonly folder = makePluginFolder(this.node.dir);
  readonly outside = connectNeighbour(this.node);
  readonly bystander = this.node.pod();
  /** Our plugin, as first, in the middle or as last. */
  readonly minicni: PluginConf = { ...this.node.conf({ ipMasq: true }), type: "minicni" };
  readonly tuning: PluginConf = {
    type: "tuning",
    dataDir: `${this.node.dir}/tuning`,
    sysctl: { "net.ipv4.conf.eth0.arp_filter": "1", "net.core.somaxconn": "500" },
    capabilities: { mac: true },
  };
  readonly #bystanders = this.runtime("1.0.0", [this.minicni, PORTMAP, FIREWALL, BANDWIDTH]);

  /** Attaches the bystander. */
  async begin(): Promise<void> {
    addSidePlugin(this.folder);
    this.#bystanders.add(this.bystander, BYSTANDER);
    await serve(this.node, this.bystander);
  }

  /** The bystander is as it was; then its DEL. */
  end(): void {
    this.#bystanders.check(this.bystander, BYSTANDER);
    expect(ask(this.outside.netns, NODE_ADDRESSES[4], 8081)).toBe(this.bystander.id);
    this.#bystanders.del(this.bystander, BYSTANDER);
  }

  /** A list on this node. */
  runtime(cniVersion: string, plugins: readonly PluginConf[]): Runtime {
    return new Runtime(this.node, this.folder, { cniVersion, name: "net1", plugins });
  }

  /** All that ADD may have made, on the node and in the pod; rules without their counters. */
  world(pod: Pod): Json {
    const rules = (tool: string) => this.node.node(tool).replace(/^#.*\n|\[\d+:\d+\]/gm, "");
    return {
      ...this.node.leftovers(),
      nodeLinks: this.node.links().map(({ ifname }) => ifname),
      podLinks: this.node.links(pod.netns).map(({ ifname }) => ifname),
      podRules: must("nsenter", `--net=${pod.netns}`, "ip", "rule", "show"),
      rules4: rules("iptables-save"),
      rules6: rules("ip6tables-save"),
    };
  }

  /** ADD, CHECK where there is one, what is to be seen then, DEL twice; the world is as before. */
  async roundTrip(
    list: Runtime,
    args: Json,
    during: (pod: Pod, result: ListResult) => void | Promise<void>,
  ): Promise<void> {
    const pod = this.node.pod();
    const before = this.world(pod);
    try {
      const result = list.add(pod, args);
      if (list.canCheck) list.check(pod, args);
      await during(pod, result);
    } catch (error) {
      this.#clearAway(list, pod, args);
      throw error;
    }
    // Once only with sbr: its DEL fails where the interface is gone.
    for (let times = list.list.plugins.includes(SBR) ? 1 : 2; times > 0; times--) {
      list.del(pod, args);
      expect(this.world(pod)).toEqual(before);
    }
  }

  /** After a failure, as far as it goes: the failure is what is to be told. */
  #clearAway(list: Runtime, pod: Pod, args: Json): void {
    try {
      list.del(pod, args);
    } catch {
      this.node.removePod(pod);
    }
  }

  /** From a namespace each of `addresses` answers. */
  expectPings(netns: string, addresses: readonly string[]): void {
    for (const address of addresses)
      expect({ address, pings: this.node.pings(netns, address) }).toEqual({ address, pings: true });
  }

  /** The pod reaches its gateways, the bystander and the node. */
  expectConnected(pod: Pod): void {
    const addresses = ["10.7.0.1", "fd00:7::1", "10.7.0.2", "fd00:7::2", NODE_ADDRESSES[4]];
    this.expectPings(pod.netns, addresses);
  }

  /** {@link MAPPING}: the pod answers from outside, to another pod and to the node. */
  async expectHostPort(pod: Pod): Promise<void> {
    await serve(this.node, pod);
    for (const from of [this.outside.netns, this.bystander.netns, this.node.netns])
      expect(ask(from, NODE_ADDRESSES[4], 8080)).toBe(pod.id);
    expect(ask(this.outside.netns, NODE_ADDRESSES[6], 8080)).toBe(pod.id);
  }

  /** {@link RATE}: on our host-side veth for what comes in, on an ifb for what goes out. */
  expectShaping(result: ListResult): void {
    const qdiscs = (prefix: string) => {
      const name = result.interfaces.find((link) => link.name.startsWith(prefix))?.name ?? "";
      return this.node.node("tc", "qdisc", "show", "dev", name);
    };
    expect(qdiscs("mcni")).toMatch(/tbf .*rate 80Mbit[\s\S]*ingress/);
    expect(qdiscs("bwp")).toMatch(/tbf .*rate 40Mbit/);
  }

  /** {@link MAC} and the sysctls. */
  expectTuning(pod: Pod, result: ListResult): void {
    expect(this.node.link("eth0", pod.netns).address).toBe(MAC.mac);
    expect(result.interfaces.find(({ name }) => name === "eth0")?.mac).toBe(MAC.mac);
    const sysctl = (key: string) => must("nsenter", `--net=${pod.netns}`, "sysctl", "-n", key).trim();
    expect(sysctl("net.ipv4.conf.eth0.arp_filter")).toBe("1");
    expect(sysctl("net.core.somaxconn")).toBe("500");
    // The node first: it must not know the address by the MAC that was ours.
    this.expectPings(this.node.netns, addressesOf(result));
  }

  /** The reference's accept rule for our IPv4 address. */
  expectFirewall(result: ListResult): void {
    const rules = this.node.node("iptables-save", "-t", "filter");
    expect(rules).toContain(`-A CNI-FORWARD -s ${addressesOf(result)[0]}/32 -j ACCEPT`);
  }

  /** A rule by source for each address, and the way to the gateway from it. */
  expectSourceRouting(pod: Pod, result: ListResult): void {
    const inside = (...argv: string[]) => must("nsenter", `--net=${pod.netns}`, ...argv);
    for (const address of addressesOf(result)) {
      const [family, gateway] = address.includes(":") ? ["-6", "fd00:7::1"] : ["-4", "10.7.0.1"];
      // Tables 100 and up: sbr takes the next free one for each address, and leaves the main table without a route.
      expect(inside("ip", family, "rule", "show")).toMatch(new RegExp(`from ${address} lookup 10\\d`));
      inside("ping", "-I", address, "-c", "1", "-W", "2", "-q", gateway);
    }
  }
}
