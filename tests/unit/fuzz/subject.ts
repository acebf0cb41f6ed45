import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { answerCni } from "../../../src/entry/cni.ts";
import type { Finished, Host } from "../../../src/host/machine.ts";
import { addressOfFile } from "../../../src/ipam/reservation.ts";
import { isHostVethName } from "../../../src/net/ifname.ts";
import { Fuse } from "../../twin/fuse.ts";
import { createFakeNode, type FakeNode } from "../../twin/node.ts";

/** Variables as a runtime passes them. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What one call said and did. */
export interface Said {
  readonly exitCode: number;
  readonly stdout: string;
  /** Plans that were run. */
  readonly plans: number;
  /** Whether anything that lasts is other than before. */
  readonly hasChanged: boolean;
}

const OTHER = "/opt/cni/bin/other";
const LASTING = ["/run/minicni/attachments/", "/run/minicni/masquerade/"];

/** A node with one attachment of each network name that the samples have, which every call finds as it was made. */
export class Subject {
  #node: FakeNode;
  #before = "";
  constructor(readonly root: string) {
    this.#node = createFakeNode(root, new Fuse());
  }

  /** Makes the node anew. */
  async renew(): Promise<void> {
    rmSync(`${this.root}/networks`, { recursive: true, force: true });
    mkdirSync(`${this.root}/networks`, { recursive: true });
    this.#node = createFakeNode(this.root, new Fuse());
    this.#node.kernel.addSandbox("/run/netns/c0");
    this.#node.kernel.addSandbox("/run/netns/c1");
    const ipam = { dataDir: `${this.root}/networks`, subnet: "10.1.0.0/24" };
    const conf = {
      cniVersion: "1.1.0",
      name: "pods",
      type: "minicni",
      bridge: "br0",
      macspoofchk: true,
      ipMasq: true,
      ipam,
    };
    const variables = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "c0",
      CNI_NETNS: "/run/netns/c0",
      CNI_IFNAME: "eth0",
      CNI_PATH: "/x",
    };
    const { exitCode, stdout } = await this.#ask(variables, JSON.stringify(conf), this.#node.host());
    if (exitCode !== 0) throw new Error(`the first attachment: ${stdout}`);
    this.#node.files.set(
      "/run/minicni/node.json",
      JSON.stringify({ podCidrs: ["10.9.0.0/24"], ready: true }),
    );
    this.#node.files.set("/etc/resolv.conf", "nameserver 10.0.0.10\n");
    this.#node.files.set(OTHER, "");
    this.#before = this.#snapshot();
  }

  #ask(variables: Variables, stdin: string, host: Host) {
    return answerCni(variables, { read: async () => stdin, peek: async () => stdin }, host);
  }

  /** One call; what it changed stays only until the next. `ipam`: what the plugin /opt/cni/bin/other answers to all. */
  async call(variables: Variables, stdin: string, ipam?: Partial<Finished>): Promise<Said> {
    let plans = 0;
    const host = this.#node.host();
    const counting: Host = {
      ...host,
      execute: (plan) => {
        plans++;
        return host.execute(plan);
      },
      spawn: async (request) => {
        const isOther = request.argv[0] === OTHER && ipam !== undefined;
        return isOther
          ? { exitCode: 0, stdout: "", stderr: "", timedOut: false, ...ipam }
          : host.spawn(request);
      },
    };
    const { exitCode, stdout } = await this.#ask(variables, stdin, counting);
    const hasChanged = this.#snapshot() !== this.#before;
    if (hasChanged || plans > 0) await this.renew();
    return { exitCode, stdout, plans, hasChanged };
  }

  /** Reservations, records, links and rules. Locks, bitmaps and cursors are derived, a bridge is everybody's: they may appear. */
  #snapshot(): string {
    const networks = readdirSync(`${this.root}/networks`).sort();
    const reservations = networks.flatMap((network) => {
      const folder = `${this.root}/networks/${network}`;
      const names = readdirSync(folder).filter((name) => addressOfFile(name) !== null);
      return names.sort().map((name) => `${network}/${name}: ${readFileSync(`${folder}/${name}`, "utf8")}`);
    });
    const { kernel, files } = this.#node;
    const lasting = [...files].filter(([path]) => LASTING.some((folder) => path.startsWith(folder)));
    const links = [...kernel.links.values()]
      .filter(({ name }) => isHostVethName(name))
      .map(({ index, name, up }) => `${index} ${name} ${up}`);
    const sandboxes = [...kernel.sandboxes].map(
      ([path, { links: inside }]) => `${path} ${[...inside.keys()]}`,
    );
    return JSON.stringify([reservations, lasting.sort(), links, sandboxes, kernel.rules.all()]);
  }
}
