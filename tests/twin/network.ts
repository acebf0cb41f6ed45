import { type Address, isSameAddress } from "../../src/net/address.ts";
import { isSamePrefix } from "../../src/net/prefix.ts";
import { RouteTable, RTN_UNICAST, type TableRoute } from "../../src/plan/route-table.ts";
import type {
  ObservedAddress,
  ObservedFdb,
  ObservedLink,
  ObservedNeighbour,
  RouteLookup,
} from "../../src/plan/state.ts";
import { HOST, type NewLink, type Operation, type RouteSpec, type Step } from "../../src/plan/step.ts";
import { FakeShaping } from "./shaping.ts";

const FORWARDING = 3;
/** RTN_ of rtnetlink. */
const TYPES = {
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
/** RTPROT_BOOT: what `ip route` writes where none is named. */
const BOOT = 3;

/** A link with the least a link has, and what is given. */
export function fakeLink(known: Partial<ObservedLink>): ObservedLink {
  return {
    index: 1,
    name: "",
    alias: "",
    kind: "",
    up: false,
    promisc: false,
    allmulti: false,
    txQueueLength: 1000,
    mtu: 1500,
    mac: "",
    masterIndex: null,
    portState: null,
    hairpin: null,
    isolated: null,
    vlanFiltering: null,
    vxlan: null,
    ...known,
  };
}

/** Links and what hangs on them in one namespace, in memory; a test may change all of it behind anybody's back. */
export class FakeNetwork {
  readonly links = new Map<string, ObservedLink>();
  readonly addresses = new Map<number, ObservedAddress[]>();
  readonly forwarding = new Map<number, ObservedFdb[]>();
  readonly neighbours = new Map<number, ObservedNeighbour[]>();
  readonly offloads = new Map<string, boolean>();
  readonly shaping = new FakeShaping();
  readonly sysctls: Map<string, string>;
  routes: TableRoute[] = [];
  /** What the kernel would do with a packet; by default all is unreachable. */
  lookup: (address: Address) => RouteLookup | null = () => null;
  #lastIndex = 1;

  /** `files`: where sysctls are written, by their path in /proc/sys. */
  constructor(files: Map<string, string>) {
    this.sysctls = files;
  }

  routeTable(): RouteTable {
    const table = new RouteTable();
    for (const route of this.routes) table.push(route);
    return table;
  }

  /** Adds a link behind anybody's back; returns its index. */
  addLink(known: Partial<ObservedLink> & { readonly name: string }): number {
    const index = ++this.#lastIndex;
    this.links.set(known.name, fakeLink({ index, ...known }));
    this.addresses.set(index, []);
    this.forwarding.set(index, []);
    this.neighbours.set(index, []);
    return index;
  }

  /** Removes a link with all that hangs on it, as the kernel does. */
  removeLink(name: string): void {
    const link = this.links.get(name);
    if (link === undefined) return;
    this.links.delete(name);
    this.offloads.delete(name);
    for (const table of [this.addresses, this.forwarding, this.neighbours]) table.delete(link.index);
    this.shaping.delete(link.index);
    this.routes = this.routes.filter(({ ifindex }) => ifindex !== link.index);
  }

  /** Does one step; returns what the kernel says against it, null when it is done. Other namespaces are not kept. */
  apply(step: Step): string | null {
    if (step.netns !== HOST) return null;
    switch (step.op) {
      case "link.add":
        return this.#create(step.link);
      case "link.del":
        if (!this.links.has(step.name)) return noDevice(step.name);
        this.removeLink(step.name);
        return null;
      case "link.set":
        return this.#on(step.name, (link) => this.#set(link, step));
      case "link.offload":
        return this.#on(step.name, () => {
          this.offloads.set(step.name, step.txChecksum);
          return null;
        });
      case "sysctl.set":
        this.sysctls.set(`/proc/sys/${step.key}`, `${step.value}\n`);
        return null;
      case "addr.replace":
      case "addr.del":
        return this.#on(step.dev, ({ index }) => {
          const held = this.addresses.get(index) ?? [];
          const others = held.filter(({ prefix }) => !isSamePrefix(prefix, step.prefix));
          const own = step.op === "addr.del" ? [] : [{ prefix: step.prefix, linkLocal: false }];
          this.addresses.set(index, [...others, ...own]);
          return null;
        });
      case "route.append":
      case "route.replace":
        return this.#addRoute(step.route, step.op === "route.replace");
      case "route.del":
        return this.#deleteRoute(step.route);
      case "neigh.replace":
      case "neigh.del":
        return this.#on(step.dev, ({ index }) => {
          const held = this.neighbours.get(index) ?? [];
          const others = held.filter(({ address }) => !isSameAddress(address, step.address));
          if (step.op === "neigh.del" && others.length === held.length) return NO_ENTRY;
          const own = { address: step.address, mac: step.mac, isPermanent: true };
          this.neighbours.set(index, step.op === "neigh.del" ? others : [...others, own]);
          return null;
        });
      case "fdb.replace":
      case "fdb.del":
        return this.#on(step.dev, ({ index }) => {
          const held = this.forwarding.get(index) ?? [];
          const others = held.filter(({ mac }) => mac !== step.mac);
          if (step.op === "fdb.del" && others.length === held.length) return NO_ENTRY;
          const own = { mac: step.mac, dst: step.dst };
          this.forwarding.set(index, step.op === "fdb.del" ? others : [...others, own]);
          return null;
        });
      case "qdisc.tbf":
      case "qdisc.ingress":
      case "filter.redirect":
        return this.#on(step.dev, ({ index }) => {
          const target = step.op === "filter.redirect" ? this.links.get(step.to)?.index : undefined;
          return this.shaping.apply(index, step, target);
        });
      default:
        return null;
    }
  }

  #on(name: string, work: (link: ObservedLink) => string | null): string | null {
    const link = this.links.get(name);
    return link === undefined ? noDevice(name) : work(link);
  }

  #create(link: NewLink): string | null {
    if (this.links.has(link.name)) return "RTNETLINK answers: File exists";
    const { name, kind, mac = "", mtu = 1500 } = link;
    const vxlan =
      link.kind === "vxlan" ? { vni: link.vni, port: link.port, local: link.local, learning: false } : null;
    this.addLink({ name, kind, mac, mtu, vxlan });
    if (vxlan !== null) this.offloads.set(name, true);
    return null;
  }

  #set(link: ObservedLink, { set }: Extract<Operation, { op: "link.set" }>): string | null {
    const master = set.master === undefined ? undefined : this.links.get(set.master);
    const port = master === undefined ? {} : { masterIndex: master.index, portState: FORWARDING };
    const { up = link.up, alias = link.alias, mtu = link.mtu, mac = link.mac } = set;
    const { promisc = link.promisc, allmulti = link.allmulti, txQueueLength = link.txQueueLength } = set;
    const hairpin = set.port?.hairpin ?? link.hairpin;
    const own = { up, alias, mtu, mac, promisc, allmulti, txQueueLength, hairpin };
    this.links.set(link.name, { ...link, ...own, ...port });
    // The kernel drops the routes of a link that goes down.
    if (link.up && !up) this.routes = this.routes.filter(({ ifindex }) => ifindex !== link.index);
    return null;
  }

  #addRoute(spec: RouteSpec, isReplacing: boolean): string | null {
    const link = this.links.get(spec.dev);
    if (link === undefined && spec.dev !== "") return noDevice(spec.dev);
    const route = toTableRoute(spec, link?.index ?? 0);
    if (isReplacing) this.#forget(route);
    this.routes.push(route);
    return null;
  }

  #deleteRoute(spec: RouteSpec): string | null {
    const link = this.links.get(spec.dev);
    const route = toTableRoute(spec, link?.index ?? 0);
    const before = this.routes.length;
    this.#forget(route, spec.dev === "" ? undefined : link?.index);
    return this.routes.length === before ? "RTNETLINK answers: No such process" : null;
  }

  /** Removes the routes that `ip route replace` would take the place of; only of one link when it is named. */
  #forget(route: TableRoute, ifindex?: number): void {
    this.routes = this.routes.filter(
      (other) =>
        !isSamePrefix(other.dst, route.dst) ||
        other.metric !== route.metric ||
        (ifindex !== undefined && other.ifindex !== ifindex),
    );
  }
}

const NO_ENTRY = "RTNETLINK answers: No such file or directory";

function noDevice(name: string): string {
  return `Cannot find device "${name}"`;
}

/** A step's route as the kernel would show it. */
function toTableRoute(spec: RouteSpec, ifindex: number): TableRoute {
  const { dst, via = null, metric, onlink = false, protocol = BOOT } = spec;
  const kind = spec.type === undefined ? RTN_UNICAST : TYPES[spec.type];
  const own = metric ?? (dst.address.family === 6 ? 1024 : 0);
  return { dst, via, ifindex, metric: own, isOnlink: onlink, type: kind, protocol };
}
