import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Finding } from "../../src/doctor/finding.ts";
import { BINARY, type Finished, run, Sandbox } from "./sandbox.ts";

/** A node of its own for the doctor: a namespace, folders of its own, and a root folder for the host's files. */
export class DoctorNode {
  readonly box: Sandbox;
  readonly root: string;
  readonly confDir: string;
  readonly binDir: string;

  /** `box`: another node's, whose state is looked at. */
  constructor(box: Sandbox = new Sandbox()) {
    this.box = box;
    this.root = `${box.dir}/root`;
    this.confDir = `${box.dir}/net.d`;
    this.binDir = `${box.dir}/bin`;
    for (const folder of [this.root, this.confDir, this.binDir]) mkdirSync(folder, { recursive: true });
  }

  /** Writes a file below the root folder: `/etc/sysctl.d/x.conf`. */
  write(path: string, text: string): void {
    mkdirSync(dirname(`${this.root}${path}`), { recursive: true });
    writeFileSync(`${this.root}${path}`, text);
  }

  argv(...args: string[]): string[] {
    const { box, root, confDir, binDir } = this;
    const folders = ["--state-dir", box.stateDir, "--data-dir", `${box.dir}/known`, "--conf-dir", confDir];
    const own = ["doctor", "--root", root, "--bin-dir", binDir, ...folders, ...args];
    return ["/usr/bin/nsenter", `--net=${box.netns}`, BINARY, ...own];
  }

  /** `minicni doctor` as a person runs it. */
  doctor(...args: string[]): Finished {
    return run(this.argv(...args));
  }

  /** The findings of one check or several (`A4,B1`). Throws when the doctor failed. */
  findings(only: string, ...args: string[]): Finding[] {
    const done = this.doctor("--json", "--only", only, ...args);
    if (done.exitCode !== 0 && done.exitCode !== 1) throw new Error(`exit ${done.exitCode}: ${done.stderr}`);
    return JSON.parse(done.stdout).findings;
  }

  /** The same as lines: `FAIL A10 message`. */
  lines(only: string, ...args: string[]): string[] {
    return this.findings(only, ...args).map(
      ({ level, id, message }) => `${level.toUpperCase()} ${id} ${message}`,
    );
  }
}
