import { chmodSync, copyFileSync, existsSync, writeFileSync } from "node:fs";
import { type Json, run, temporary } from "./node.ts";

/** Where a trial keeps what the plugin writes. */
export interface Places {
  readonly stateDir: string;
  readonly dataDir: string;
}

/** The plugin under test, as a black box. */
export interface Subject {
  readonly name: string;
  readonly binary: string;
  /** `type` of its configurations. */
  readonly type: string;
  /** Folders of its own CNI_PATH; the node's folder of plugins comes behind. */
  readonly cniPath: readonly string[];
  /** The same or another program when asked for addresses only. */
  readonly ipam: { readonly binary: string; readonly type: string };
  /** Its configuration of one network with one IPv4 range. */
  readonly conf: (places: Places, ipam: Json) => Json;
}

/** One range; the keys are those of the reference, and unknown ones are to be ignored. */
function conf(type: string): Subject["conf"] {
  return ({ stateDir, dataDir }, ipam) => ({
    cniVersion: "1.0.0",
    name: "net1",
    type,
    bridge: "br0",
    isGateway: true,
    stateDir,
    ipam: {
      type: "host-local",
      dataDir,
      ranges: [[{ subnet: "10.1.2.0/24" }]],
      routes: [{ dst: "0.0.0.0/0" }],
      ...ipam,
    },
  });
}

/** Ours, copied: a build that runs meanwhile must not change what is tested. */
export function minicni(): Subject {
  const bin = temporary();
  const binary = `${bin}/minicni`;
  copyFileSync(process.env.MINICNI_BIN ?? `${import.meta.dir}/../../dist/minicni`, binary);
  chmodSync(binary, 0o755);
  const ipam = { binary, type: "minicni" };
  return { name: "minicni", binary, type: "minicni", cniPath: [bin], ipam, conf: conf("minicni") };
}

/** Where Debian's package puts the reference plugins. */
const DEBIAN_PEERS = "/usr/lib/cni";

/** The reference `bridge` with `host-local`, of the folder CNI_PEERS or of the distribution; null: not there. */
export function reference(): Subject | null {
  const bin = process.env.CNI_PEERS ?? DEBIAN_PEERS;
  if (!existsSync(`${bin}/bridge`) || !existsSync(`${bin}/host-local`)) return null;
  const ipam = { binary: `${bin}/host-local`, type: "host-local" };
  return {
    name: "bridge",
    binary: `${bin}/bridge`,
    type: "bridge",
    cniPath: [bin],
    ipam,
    conf: conf("bridge"),
  };
}

/** Releases of the reference whose outcomes are recorded. */
export type Release = "1.1.1" | "1.9.1";

/** Which recorded release a reference plugin belongs to: told by the newest version it speaks. */
export function releaseOf(subject: Subject): Release {
  const told = run([subject.binary], "{}", { CNI_COMMAND: "VERSION" });
  return told.stdout.includes('"1.1.0"') ? "1.9.1" : "1.1.1";
}

/** A plugin that is a shell script: to prove that the cases can fail. */
export function scripted(name: string, script: string): Subject {
  const bin = temporary();
  const binary = `${bin}/${name}`;
  writeFileSync(binary, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { name, binary, type: name, cniPath: [bin], ipam: { binary, type: name }, conf: conf(name) };
}
