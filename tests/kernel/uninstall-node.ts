import { mkdirSync } from "node:fs";
import { AgentNode } from "./agent.ts";
import { BINARY, type Finished, type Json, must, type Pod, run, type Variables } from "./sandbox.ts";

/** Of bridges and their ports: they count whatever happens. */
const TIMERS = /\w+_timer +[\d.]+/g;

/** A virtual node on which minicni is installed and removed, with all of its folders below the sandbox's. */
export class UninstallNode extends AgentNode {
  readonly binDir = `${this.box.dir}/bin`;
  readonly cniDir = `${this.box.dir}/cni`;

  constructor(families: readonly (4 | 6)[] = [4, 6]) {
    super(families);
    mkdirSync(this.binDir);
    mkdirSync(`${this.cniDir}/networks`, { recursive: true });
    mkdirSync(`${this.cniDir}/results`);
    // Both stay when minicni goes, and the kernel adds addresses by them.
    this.box.node("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
    // The tables of iptables, once made, stay as well.
    for (const tool of ["iptables", "ip6tables"]) {
      this.box.node(tool, "-N", "THEIRS");
      this.box.node(tool, "-A", "FORWARD", "-j", "THEIRS");
      this.box.node(tool, "-t", "nat", "-A", "POSTROUTING", "-o", "nothing", "-j", "MASQUERADE");
    }
  }

  install(): void {
    must(...this.box.argv("install", "--bin-dir", this.binDir, "--conf-dir", this.confDir));
  }

  argvOfUninstall(...more: string[]): string[] {
    const folders = ["--bin-dir", this.binDir, "--conf-dir", this.confDir, "--cni-dir", this.cniDir];
    const own = ["--state-dir", this.stateDir, "--data-dir", this.dataDir];
    return ["/usr/bin/nsenter", `--net=${this.netns}`, BINARY, "uninstall", ...folders, ...own, ...more];
  }

  uninstall(...more: string[]): Finished {
    return run(this.argvOfUninstall(...more));
  }

  uninstallWith(env: Variables): Finished {
    return run(this.argvOfUninstall(), { env });
  }

  /** What a runtime makes of the conflist, but for where addresses are kept. */
  call(command: string, pod: Pod, more: Json = {}): Finished {
    const { stateDir } = this;
    const conf = { cniVersion: "1.0.0", name: "minicni", type: "minicni", stateDir, ...more };
    return this.box.call(command, pod, { dataDir: `${this.cniDir}/networks`, ...conf });
  }

  /** All that could have changed: the kernel's state, every file with mode and content; not what an agent says of itself. */
  everything(): string {
    const { dir } = this.box;
    const tables = this.box.node("nft", "list", "tables");
    const files = must("find", dir, "-not", "-name", "*.log", "-printf", "%P %M %l\n");
    const told = ["-not", "-name", "*.log", "-not", "-name", "agent.json"];
    const sums = must("find", dir, "-type", "f", ...told, "-exec", "md5sum", "{}", "+");
    const lines = [files, sums].flatMap((text) => text.split("\n")).sort();
    const kernel = this.kernel().replace(TIMERS, "");
    return [kernel, tables, ...lines].join("\n");
  }
}
