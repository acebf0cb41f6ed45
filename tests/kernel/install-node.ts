import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { BINARY, type Finished, must, run, Sandbox } from "./sandbox.ts";

/** A node's folders of plugins and configurations, both empty, and our installer. */
export class InstallNode {
  readonly box = new Sandbox();
  bin = `${this.box.dir}/bin`;
  readonly conf = `${this.box.dir}/net.d`;

  constructor() {
    mkdirSync(this.bin);
    mkdirSync(this.conf);
  }

  install(...more: string[]): Finished {
    return run(this.argv(...more));
  }

  /** The installer's command line. */
  argv(...more: string[]): readonly string[] {
    return this.box.argv("install", "--bin-dir", this.bin, "--conf-dir", this.conf, ...more);
  }

  /** Whether the launcher that the binary under test brings, and this binary beside it, are installed. */
  isWhole(): boolean {
    const wanted = `${this.box.dir}/launcher`;
    must(BINARY, "launcher", "--out", wanted);
    return isSame(wanted, `${this.bin}/minicni`) && isSame(BINARY, `${this.bin}/minicni-standalone`);
  }
}

/** What is there when all is installed. */
export const INSTALLED = ["loopback", "minicni", "minicni-standalone"];

function isSame(wanted: string, found: string): boolean {
  return run(["cmp", wanted, found]).exitCode === 0;
}

/** The inodes of a folder by name: what was not touched keeps its own. */
export function inodes(folder: string): (readonly [string, number])[] {
  const names = readdirSync(folder).sort();
  return names.map((name) => [name, lstatSync(`${folder}/${name}`).ino] as const);
}

/** What Go minicni's manifest writes to 10-minicni.conf. */
export const GO_CONF = {
  cniVersion: "0.1.0",
  name: "minicni",
  type: "minicni",
  bridge: "minicni0",
  mtu: 1500,
  subnet: "10.244.1.0/24",
};
