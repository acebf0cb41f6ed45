import type { Finished, SpawnRequest } from "../../src/host/machine.ts";
import { formatAddress } from "../../src/net/address.ts";
import { formatPrefix } from "../../src/net/prefix.ts";
import type { ObservedAddress, ObservedLink } from "../../src/plan/state.ts";
import { HOST, type NewLink, type Operation, type Step } from "../../src/plan/step.ts";
import { fakeLink } from "./machine.ts";
import { createFakeRules, type FakeRules } from "./rules.ts";
import { FakeShaping } from "./shaping.ts";

/** One interface inside a sandbox. */
export interface PodLink {
  mac: string;
  mtu: number;
  up: boolean;
  /** `address/length`. */
  readonly addresses: Set<string>;
  /** The gateway by destination; null: on-link. */
  readonly routes: Map<string, string | null>;
}

interface Sandbox {
  readonly id: string;
  readonly links: Map<string, PodLink>;
}

/** The kernel refused a step; the text is what `ip` would print. */
export class Refused extends Error {
  override readonly name = "Refused";
}

const FORWARDING = 3;

/** The links of a machine and of its sandboxes, and its rules: what goes with a reboot. */
export class FakeKernel {
  readonly links = new Map<string, ObservedLink>();
  readonly addresses = new Map<number, ObservedAddress[]>();
  readonly sandboxes = new Map<string, Sandbox>();
  readonly sysctls = new Map([
    ["/proc/sys/net/ipv4/ip_forward", "0\n"],
    ["/proc/sys/net/ipv6/conf/all/forwarding", "0\n"],
  ]);
  readonly rules: FakeRules = createFakeRules();
  readonly shaping = new FakeShaping();
  readonly #peers = new Map<string, { netns: string; ifname: string }>();
  #last = 1;

  /** Makes the sandbox's namespace unless it is there. */
  addSandbox(netns: string): void {
    if (!this.sandboxes.has(netns)) this.sandboxes.set(netns, { id: `4:${++this.#last}`, links: new Map() });
  }

  /** `ip netns del` of a pod that ends: every veth pair with an end in it goes as well. */
  removeSandbox(netns: string): void {
    this.sandboxes.delete(netns);
    for (const [name, peer] of [...this.#peers]) if (peer.netns === netns) this.#removeLink(name);
  }

  /** The pod's end of a host-side veth; null when either is gone. */
  podLink(hostVeth: string): PodLink | null {
    const peer = this.#peers.get(hostVeth);
    if (peer === undefined) return null;
    return this.sandboxes.get(peer.netns)?.links.get(peer.ifname) ?? null;
  }

  /** Changes a link behind the plugin's back. */
  change(name: string, known: Partial<ObservedLink>): void {
    const link = this.links.get(name);
    if (link !== undefined) this.links.set(name, { ...link, ...known });
  }

  /** Does one step, or throws {@link Refused}. */
  apply(step: Step | (Operation & { readonly netns: string })): void {
    if (step.op === "rules.restore") this.rules.restore(step.family, step.lines);
    else if (step.op === "rules.nft") this.rules.load(step.lines);
    else if (step.netns !== HOST) this.#applyInPod(step.netns, step);
    else this.#applyOnHost(step);
  }

  #applyOnHost(step: Operation): void {
    if (step.op === "link.add") this.#addLink(step.link);
    else if (step.op === "link.del") {
      if (!this.links.has(step.name)) throw new Refused(`Cannot find device "${step.name}"`);
      this.#removeLink(step.name);
    } else if (step.op === "sysctl.set") this.sysctls.set(`/proc/sys/${step.key}`, `${step.value}\n`);
    else if (step.op === "link.set") {
      const link = this.links.get(step.name);
      if (link === undefined) throw new Refused(`Cannot find device "${step.name}"`);
      const master = step.set.master === undefined ? undefined : this.links.get(step.set.master);
      if (step.set.master !== undefined && master === undefined) throw new Refused("Device does not exist");
      const port = master === undefined ? {} : { masterIndex: master.index, portState: FORWARDING };
      const { up = link.up, alias = link.alias, mtu = link.mtu, promisc = link.promisc } = step.set;
      const hairpin = step.set.port?.hairpin ?? link.hairpin ?? (master === undefined ? null : false);
      const isolated = step.set.port?.isolated ?? link.isolated ?? (master === undefined ? null : false);
      this.links.set(step.name, { ...link, up, alias, mtu, promisc, hairpin, isolated, ...port });
    } else if (step.op === "addr.replace") {
      const link = this.links.get(step.dev);
      if (link === undefined) throw new Refused(`Cannot find device "${step.dev}"`);
      this.addresses.get(link.index)?.push({ prefix: step.prefix, linkLocal: false });
    } else if (step.op === "qdisc.tbf" || step.op === "qdisc.ingress" || step.op === "filter.redirect") {
      const index = this.links.get(step.dev)?.index;
      if (index === undefined) throw new Refused(`Cannot find device "${step.dev}"`);
      const target = step.op === "filter.redirect" ? this.links.get(step.to)?.index : undefined;
      const message = this.shaping.apply(index, step, target);
      if (message !== null) throw new Refused(message);
    }
  }

  #applyInPod(netns: string, step: Operation): void {
    const sandbox = this.sandboxes.get(netns);
    if (sandbox === undefined) throw new Refused(`can't open the network namespace ${netns}`);
    const dev = step.op === "route.append" ? step.route.dev : "dev" in step ? step.dev : "";
    const link = sandbox.links.get(step.op === "link.set" ? step.name : dev);
    if (step.op === "sysctl.set") return;
    if (link === undefined) throw new Refused(`Cannot find device in ${netns}`);
    if (step.op === "link.set") link.up = step.set.up ?? link.up;
    if (step.op === "addr.replace") link.addresses.add(formatPrefix(step.prefix));
    if (step.op === "route.append") {
      const { dst, via } = step.route;
      link.routes.set(formatPrefix(dst), via === undefined ? null : formatAddress(via));
    }
  }

  #addLink(link: NewLink): void {
    if (this.links.has(link.name)) throw new Refused("RTNETLINK answers: File exists");
    if (link.kind === "veth" && link.peer.netns === HOST) {
      const { name, mac = "", mtu = 1500 } = link.peer;
      if (this.links.has(name)) throw new Refused("RTNETLINK answers: File exists");
      this.links.set(name, fakeLink({ index: ++this.#last, name, kind: "veth", mac, mtu }));
      this.addresses.set(this.#last, []);
    } else if (link.kind === "veth") {
      const { name: ifname, mac = "", mtu = 1500, netns } = link.peer;
      const sandbox = this.sandboxes.get(netns);
      if (sandbox === undefined) throw new Refused(`Cannot open network namespace "${netns}"`);
      if (sandbox.links.has(ifname)) throw new Refused("RTNETLINK answers: File exists");
      sandbox.links.set(ifname, { mac, mtu, up: false, addresses: new Set(), routes: new Map() });
      this.#peers.set(link.name, { netns, ifname });
    }
    const { kind, name, mac = "", mtu = 1500 } = link;
    this.links.set(name, fakeLink({ index: ++this.#last, name, kind, mac, mtu }));
    this.addresses.set(this.#last, []);
  }

  #removeLink(name: string): void {
    const peer = this.#peers.get(name);
    if (peer !== undefined) this.sandboxes.get(peer.netns)?.links.delete(peer.ifname);
    this.#peers.delete(name);
    this.shaping.delete(this.links.get(name)?.index ?? 0);
    this.links.delete(name);
  }

  /** What a child prints. Programs that nobody taught it fail in silence. */
  answer(request: SpawnRequest): Finished {
    const { argv, netns = "" } = request;
    const said = argv[0] === "ip" ? this.#show(argv, netns) : this.rules.answer(request);
    return { exitCode: 1, stdout: "", stderr: "", timedOut: false, ...said };
  }

  #show(argv: readonly string[], netns: string): Partial<Finished> {
    const sandbox = this.sandboxes.get(netns);
    if (sandbox === undefined) return { stderr: `can't open the network namespace ${netns}` };
    const isV6 = argv.includes("-6");
    if (argv.includes("route")) {
      const routes = [...sandbox.links].flatMap(([dev, link]) =>
        [...link.routes]
          .filter(([dst]) => dst.includes(":") === isV6)
          .map(([dst, gateway]) => ({ dst, dev, ...(gateway === null ? {} : { gateway }) })),
      );
      return { exitCode: 0, stdout: JSON.stringify(routes) };
    }
    const ifname = argv.at(-1) ?? "";
    const link = sandbox.links.get(ifname);
    if (link === undefined) return { stderr: `Device "${ifname}" does not exist.` };
    const addresses = [...link.addresses].map((it) => it.split("/"));
    const shown = {
      ifname,
      address: link.mac,
      mtu: link.mtu,
      flags: link.up ? ["UP"] : [],
      addr_info: addresses.map(([local, length]) => ({ local, prefixlen: Number(length) })),
    };
    return { exitCode: 0, stdout: JSON.stringify([shown]) };
  }
}
