import { rmSync } from "node:fs";
import { answerCni } from "../../../src/entry/cni.ts";
import { hostVethName, ifbName } from "../../../src/net/ifname.ts";
import { hasSpoofRule, spoofTable } from "../../../src/topology/spoofcheck.ts";
import type { Fuse } from "../../twin/fuse.ts";
import { createFakeNode, type FakeNode } from "../../twin/node.ts";
import type { Command, GcList, Place } from "./commands.ts";
import { formatKey, type Key, type Observed, type Outcome, type Shape } from "./facts.ts";
import { Model } from "./model.ts";
import { observe } from "./observe.ts";

const STATE_DIR = "/run/minicni";

/** A network of the played node. */
export interface Network extends Shape, Place {
  /** Its keys of the configuration beside those that every one has. */
  readonly conf: { readonly ipam: object; readonly [key: string]: unknown };
}

/** How often what was played, so that nobody takes silence for proof. */
export type Tally = Map<string, number>;

/** Plays commands on a fake node and on the model; throws at the first difference. */
export class Play {
  readonly model: Model;
  readonly node: FakeNode;
  readonly #results = new Map<string, unknown>();
  readonly #keys = new Map<string, Key>();
  readonly #ifbKeys = new Map<string, Key>();
  constructor(
    readonly networks: readonly Network[],
    containers: readonly string[],
    readonly root: string,
    readonly fuse: Fuse,
    readonly tally: Tally,
  ) {
    this.model = new Model(networks);
    this.node = createFakeNode(root, fuse);
    for (const { name: network, ifnames } of networks) {
      for (const containerId of containers) {
        for (const ifname of ifnames) {
          const key = { network, containerId, ifname };
          this.#keys.set(veth(key), key);
          this.#ifbKeys.set(ifbName(network, containerId, ifname), key);
        }
      }
    }
  }

  async run(command: Command): Promise<void> {
    this.#count(command.do);
    switch (command.do) {
      case "ADD":
      case "DEL":
        await this.#change(command.do, command.key, command.killAt);
        break;
      case "CHECK":
        await this.#check(command.key);
        break;
      case "GC":
        await this.#collect(command.network, command.list);
        break;
      case "STATUS":
        this.model.status(command.network, await this.ask("STATUS", { network: command.network }));
        break;
      case "damage":
        if (!this.model.damage(command.key)) break;
        this.#damage(command.key);
        await this.#check(command.key);
        break;
      case "sandbox gone":
        this.node.kernel.removeSandbox(netnsOf(command.containerId));
        this.model.sandboxGone(command.containerId);
        break;
      case "records lost":
        for (const path of [...this.node.files.keys()])
          if (path.startsWith("/run/")) this.node.files.delete(path);
        this.model.wipe();
        break;
      case "reboot":
        this.node.reboot();
        this.model.reboot();
    }
    this.model.examine(this.observe());
    this.#examineChecks();
  }

  /** DEL of everything, or GC with an empty list: then nothing is left (the model knows of no link any more). */
  async end(byGc: boolean): Promise<void> {
    for (const key of byGc ? [] : this.#keys.values()) {
      if (this.model.isKnown(key)) await this.run({ do: "DEL", key, killAt: null });
      await this.run({ do: "DEL", key, killAt: null });
    }
    for (const { name: network } of this.networks) {
      if (byGc) await this.run({ do: "GC", network, list: "empty" });
    }
    const { reservations, ifbs = [], records, halfRecords } = this.observe();
    const left = [...reservations, ...(byGc ? [] : ifbs), ...records, ...halfRecords];
    if (left.length > 0) throw new Error(`left behind: ${JSON.stringify(left)}`);
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  async #change(name: "ADD" | "DEL", key: Key, killAt: number | null): Promise<void> {
    if (name === "ADD" && this.model.isForgotten(key)) return;
    if (name === "ADD") this.node.kernel.addSandbox(netnsOf(key.containerId));
    this.fuse.arm(killAt ?? Number.POSITIVE_INFINITY);
    const outcome = await this.ask(name, key);
    if (this.fuse.disarm()) {
      this.#count(`killed ${name}`);
      this.model.killed(name, key);
    } else if (name === "ADD") {
      this.#count(outcome.ok ? "ADD succeeded" : `ADD said ${outcome.code}`);
      this.model.add(key, outcome);
    } else this.model.del(key, outcome);
  }

  async #check(key: Key): Promise<void> {
    this.model.check(key, await this.ask("CHECK", key, this.#prev(key)));
  }

  async #collect(network: string, list: GcList): Promise<void> {
    const live = this.model.live(network).filter((_key, index) => list !== "half" || index % 2 === 0);
    const valid = list === "empty" ? [] : list === "null" || list === "absent" ? null : live;
    const keys = valid?.map(({ containerId: containerID, ifname }) => ({ containerID, ifname })) ?? null;
    const extra = list === "absent" ? {} : { "cni.dev/valid-attachments": keys };
    const outcome = await this.ask("GC", { network }, extra);
    this.model.gc(network, valid, outcome, this.observe());
  }

  /** One call of a runtime, of which the model is not told. */
  async ask(name: string, key: Partial<Key> & { network: string }, extra: object = {}): Promise<Outcome> {
    const { network, containerId = "", ifname = "" } = key;
    const found = this.networks.find((it) => it.name === network);
    const base = { cniVersion: "1.1.0", name: network, type: "minicni", stateDir: STATE_DIR };
    const ipam = { ...found?.conf.ipam, dataDir: `${this.root}/networks` };
    const stdin = JSON.stringify({ ...base, ...found?.conf, ipam, ...extra });
    const variables = {
      CNI_COMMAND: name,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: containerId === "" ? "" : netnsOf(containerId),
      CNI_IFNAME: ifname,
      CNI_PATH: "/opt/cni/bin",
    };
    const source = { read: async () => stdin, peek: async () => stdin };
    const { exitCode, stdout } = await answerCni(variables, source, this.node.host());
    if (exitCode !== 0) return { ok: false, code: Number(JSON.parse(stdout).code) };
    if (name !== "ADD") {
      if (stdout !== "") throw new Error(`${name} printed ${stdout}`);
      return { ok: true, addresses: [] };
    }
    const result: { ips: { address: string }[] } = JSON.parse(stdout);
    this.#results.set(formatKey({ network, containerId, ifname }), result);
    return { ok: true, addresses: result.ips.map(({ address }) => address.replace(/\/.*/, "")) };
  }

  /** The result of the last ADD; a runtime that has none can't CHECK. */
  #prev(key: Key): object {
    this.node.kernel.addSandbox(netnsOf(key.containerId));
    return { prevResult: this.#results.get(formatKey(key)) ?? { cniVersion: "1.1.0" } };
  }

  #damage(key: Key): void {
    if (key.ifname.endsWith("0")) this.node.kernel.change(veth(key), { up: false });
    else this.node.kernel.podLink(veth(key))?.addresses.clear();
  }

  /** What the model looks at. */
  observe(): Observed {
    return observe(this.node, this.networks, this.root, this.#keys, this.#ifbKeys);
  }

  /** A live attachment of a network with MAC check is never without it, as long as its record is there. */
  #examineChecks(): void {
    for (const { name, conf } of this.networks) {
      const live = conf.macspoofchk === true ? this.model.live(name, true) : [];
      for (const key of live) {
        const isWired = this.node.kernel.links.has(veth(key));
        const isFine = !isWired || this.isChecked(key);
        if (!isFine) throw new Error(`${formatKey(key)} lost its MAC check`);
      }
    }
  }

  #listChecks(network: string): string {
    return this.node.kernel.answer({ argv: ["nft", "list", "table", "bridge", spoofTable(network)] }).stdout;
  }

  /** Whether the port may send from the pod's MAC and no other. */
  isChecked(key: Key): boolean {
    const mac = this.node.kernel.podLink(veth(key))?.mac ?? "";
    return hasSpoofRule(this.#listChecks(key.network), veth(key), mac);
  }

  destroy(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

function veth({ network, containerId, ifname }: Key): string {
  return hostVethName(network, containerId, ifname);
}

function netnsOf(containerId: string): string {
  return `/run/netns/${containerId}`;
}
