import { mkdirSync, writeFileSync } from "node:fs";
import type { IpamFault } from "../../src/doctor/ipam-fault.ts";
import {
  BINARY,
  type Finished,
  type Json,
  NETWORK,
  type Pod,
  run,
  Sandbox,
  type Variables,
} from "./sandbox.ts";

/** A node whose network has a configuration, and `minicni ipam` on it. */
export class IpamNode {
  readonly box = new Sandbox();
  readonly confDir = `${this.box.dir}/net.d`;
  /** Stores of other plugins. */
  readonly foreignDir = `${this.box.dir}/foreign`;
  readonly cacheDir = `${this.box.dir}/cache`;
  readonly store = `${this.box.dataDir}/${NETWORK}`;

  constructor(conf: Json = {}, ipam: Json = {}) {
    mkdirSync(this.confDir);
    const plugin = this.box.conf(conf, ipam);
    const list = { cniVersion: "1.0.0", name: NETWORK, plugins: [plugin] };
    writeFileSync(`${this.confDir}/10-pods.conflist`, JSON.stringify(list));
  }

  /** `minicni ipam …` as a person runs it. */
  ipam(words: readonly string[], env: Variables = {}): Finished {
    const { box, confDir, foreignDir, cacheDir } = this;
    const folders = ["--state-dir", box.stateDir, "--conf-dir", confDir];
    const stores = ["--store-dir", foreignDir, "--cache-dir", cacheDir];
    const argv = ["/usr/bin/nsenter", `--net=${box.netns}`, BINARY, "ipam", ...words, ...folders, ...stores];
    return run(argv, { env });
  }

  /** The document of a command's `--json`. Throws when it failed. */
  json(...words: string[]): Json {
    const done = this.ipam([...words, "--json"]);
    if (done.exitCode !== 0 && done.exitCode !== 1) throw new Error(`exit ${done.exitCode}: ${done.stderr}`);
    return JSON.parse(done.stdout);
  }

  /** What `verify` finds. */
  findings(): IpamFault[] {
    const { findings } = this.json("verify");
    return findings as IpamFault[];
  }

  /** The same as lines: `warn leak 10.7.0.2`. */
  kinds(): string[] {
    return this.findings().map(
      ({ level, kind, address }) => `${level} ${kind}${address === null ? "" : ` ${address}`}`,
    );
  }

  /** `address state` of each reservation. */
  states(...words: string[]): string[] {
    const { networks } = this.json("show", ...words);
    const all = networks as { holdings: { address: string; state: string }[] }[];
    return all.flatMap(({ holdings }) => holdings.map(({ address, state }) => `${address} ${state}`));
  }

  /** Deletes a pod's namespace without a DEL; the kernel takes its links away a little later. */
  lose(pod: Pod): void {
    const before = this.box.hostVeths().length;
    this.box.removePod(pod);
    for (let tries = 0; this.box.hostVeths().length === before && tries < 200; tries++) Bun.sleepSync(50);
  }

  /** What a runtime keeps of an ADD. */
  remember(pod: Pod, name: string, network = NETWORK): void {
    mkdirSync(`${this.cacheDir}/results`, { recursive: true });
    const cached = {
      kind: "cniCacheV1",
      containerId: pod.id,
      ifName: "eth0",
      networkName: network,
      netns: pod.netns,
      cniArgs: [
        ["K8S_POD_NAMESPACE", "shop"],
        ["K8S_POD_NAME", name],
      ],
    };
    writeFileSync(`${this.cacheDir}/results/${network}-${pod.id}-eth0`, JSON.stringify(cached));
  }
}
