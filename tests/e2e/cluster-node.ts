import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import type { NodeWords } from "../kernel/agent-cluster.ts";
import { type Finished, must, run } from "../kernel/sandbox.ts";
import type { Underlay } from "./cluster-underlay.ts";
import { CriClient } from "./cri-client.ts";
import { BUSYBOX_IMAGE } from "./image.ts";

const COMMAND_TIMEOUT_S = "30";
const SOCKET = "/srv/containerd.sock";
const SPEC = "/srv/spec.json";
const BOOT_ID = "/srv/boot_id";

/**
 * PID 1 of a node, on a root of its own: programs are the machine's, all else is the node's. `/run` ends with it, the rest
 * is on its disk. It ends when its stdin does (so also when the test is killed), and with it every process and mount.
 */
const INIT = `set -eu
mount --bind "$ROOT" "$ROOT"
cd "$ROOT"
mount --rbind /usr usr
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs tmpfs run
mount --bind ./${BOOT_ID} proc/sys/kernel/random/boot_id
hostname "$NAME"
pivot_root . .old
umount -l /.old
# As systemd does: volumes with mountPropagation need it.
mount --make-rshared /
mkdir /run/lock
touch /srv/ready
read -r _ || exit 0
containerd --config /srv/containerd.toml </dev/null >>/srv/containerd.log 2>&1 &
read -r _ || exit 0
`;

const config = (snapshotter: string) => `version = 2
[grpc]
address = "${SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${BUSYBOX_IMAGE}"
# Without CAP_SYS_RESOURCE, as in many containers, the score can't be lowered.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "${snapshotter}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "${SPEC}"
`;

/** What kubelet and kube-proxy keep in every node's rules, in short. */
const NODE_RULES = `*filter
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
COMMIT
*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE
COMMIT
`;

/** A machine of the cluster: namespaces with a root of their own, Debian's containerd as its runtime, and a disk. */
export class ClusterNode {
  /** Its disk. */
  readonly root: string;
  readonly cri: CriClient;
  readonly name: string;
  #process: Bun.Subprocess<"pipe", "ignore", "pipe"> | undefined;
  #init = 0;
  #boots = 0;

  /** `cgroup` is a name of the test's own: cgroups lie outside of the namespaces. */
  constructor(
    folder: string,
    readonly cgroup: string,
    readonly words: NodeWords,
    readonly underlay: Underlay,
    readonly snapshotter: string,
  ) {
    this.name = words.name;
    this.root = `${folder}/${words.name}`;
    this.cri = new CriClient(`${this.root}${SOCKET}`);
    for (const name of ["usr", "dev", "proc", "sys", "run", "srv", "tmp", "opt", "root", ".old", "var/lib"])
      mkdirSync(`${this.root}/${name}`, { recursive: true });
    for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, `${this.root}/${name}`);
    symlinkSync("/run", `${this.root}/var/run`);
    this.#makeEtc();
    writeFileSync(`${this.root}/srv/containerd.toml`, config(snapshotter));
    writeFileSync(`${this.root}${SPEC}`, baseSpec());
  }

  /** Of the machine's /etc only what programs need to run. */
  #makeEtc(): void {
    const etc = `${this.root}/etc`;
    mkdirSync(etc);
    for (const name of [
      "alternatives",
      "ld.so.cache",
      "passwd",
      "group",
      "nsswitch.conf",
      "protocols",
      "services",
    ])
      cpSync(`/etc/${name}`, `${etc}/${name}`, { recursive: true, verbatimSymlinks: true });
    writeFileSync(`${etc}/hosts`, "127.0.0.1 localhost\n::1 localhost\n");
    writeFileSync(`${etc}/resolv.conf`, "nameserver 10.96.0.10\n");
    writeFileSync(`${etc}/hostname`, `${this.name}\n`);
  }

  /** Starts the machine, its link and containerd, with an ID of its own for this boot. */
  async boot(): Promise<void> {
    writeFileSync(`${this.root}${BOOT_ID}`, `${crypto.randomUUID()}\n`);
    const flags = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"];
    const started = Bun.spawn(["unshare", ...flags, "sh", "-c", INIT], {
      env: { PATH: process.env.PATH, ROOT: this.root, NAME: this.name },
      stdin: "pipe",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#process = started;
    const ready = `${this.root}/srv/ready`;
    const ended = async () => new Response(started.stderr).text();
    await waitFor(`${this.name} is up`, () => {
      if (started.exitCode !== null) throw new Error(`PID 1 of ${this.name} ended`);
      return run(["test", "-e", ready]).exitCode === 0;
    }).catch(async (error) => {
      throw new Error(`${error}: ${await ended()}`);
    });
    must("rm", ready);
    this.#init = Number.parseInt(
      readFileSync(`/proc/${started.pid}/task/${started.pid}/children`, "utf8"),
      10,
    );
    this.underlay.connect(this.#init, this.words);
    for (const tool of ["iptables-restore", "ip6tables-restore"]) this.must([tool, "--noflush"], NODE_RULES);
    started.stdin.write("containerd\n");
    started.stdin.flush();
    this.#boots += 1;
    const answers = () => this.cri.answers();
    await waitFor(`containerd of ${this.name} answers`, answers, () => this.runtimeLog());
  }

  /** Power off: every process is gone at once, and the link; then its namespaces and what lies in /run. */
  async cutPower(): Promise<void> {
    const started = this.#process;
    if (started === undefined) return;
    const hasEnded = () => started.exitCode !== null || started.signalCode !== null;
    // PID 1 ends last of its namespace, and unshare after it; were unshare killed, there would be nothing to wait for.
    if (this.#init !== 0 && !hasEnded()) run(["kill", "-KILL", `${this.#init}`]);
    else started.kill("SIGKILL");
    await waitFor(`every process of ${this.name} is gone`, hasEnded);
    this.#process = undefined;
    this.#init = 0;
    this.underlay.disconnect(this.name);
  }

  /** The same without waiting, for the end of the test's process; the disk is the cluster's to remove. */
  abandon(): void {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }

  /** Which boot this is, from 1. */
  get boots(): number {
    return this.#boots;
  }

  /** The command to run `argv` on the node. */
  inside(argv: readonly string[]): string[] {
    const entry = ["nsenter", "-t", `${this.#init}`, "-m", "-n", "-p", "-u", "-i"];
    return [...entry, "timeout", "-k", "1", COMMAND_TIMEOUT_S, ...argv];
  }

  /** Runs a command on the node, to its end. */
  run(argv: readonly string[], stdin = "", env: Readonly<Record<string, string>> = {}): Finished {
    return run(this.inside(argv), { stdin, env });
  }

  /** Runs a command on the node that has to succeed; returns its stdout. */
  must(argv: readonly string[], stdin = ""): string {
    const done = this.run(argv, stdin);
    if (done.exitCode === 0) return done.stdout;
    throw new Error(`${this.name}: ${argv.join(" ")}: exit ${done.exitCode}: ${done.stdout}${done.stderr}`);
  }

  /** Where a path of the running node is found from outside. */
  path(path: string): string {
    return `/proc/${this.#init}/root${path}`;
  }

  /** Imports an archive, as `ctr image import` does for a person; the CRI hears of it a little later. */
  async importImage(archive: string): Promise<void> {
    const ctr = ["ctr", "--address", this.cri.socket, "-n", "k8s.io", "image", "import"];
    const child = Bun.spawn([...ctr, "--snapshotter", this.snapshotter, archive], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [said, wrong] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(`import of ${archive}: ${said}${wrong}`);
  }

  /** The last lines that containerd wrote. */
  runtimeLog(): string {
    return run(["tail", "-n", "15", `${this.root}/srv/containerd.log`]).stdout;
  }
}

/**
 * What every container starts from. One kernel has one boot ID; a hook lays the node's over it, before the container's
 * /proc/sys is made read-only (the CRI offers no mount there, and runc refuses it).
 */
function baseSpec(): string {
  const spec = JSON.parse(must("ctr", "oci", "spec"));
  const mount = {
    path: "/usr/bin/mount",
    args: ["mount", "--bind", BOOT_ID, "proc/sys/kernel/random/boot_id"],
  };
  return JSON.stringify({ ...spec, hooks: { createContainer: [mount] } });
}
