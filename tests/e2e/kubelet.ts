import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { must, run } from "../kernel/sandbox.ts";
import { ARCHIVE, imageFault } from "./cluster-image.ts";
import { criFault, makePauseImage } from "./cri.ts";
import { BUSYBOX_IMAGE } from "./image.ts";
import { assetsFault, background, CONTROL_ADDRESS, type ControlPlane, processOf } from "./kube-assets.ts";
import { Machine } from "./machine.ts";

const KUBELET = process.env.KUBELET ?? "";
const SOCKET = "/run/containerd/containerd.sock";
const START_TIMEOUT_MS = 60_000;
const MANAGERS = ["kube-controller-manager", "kube-scheduler"];

/** Why tests with a kubelet are skipped; empty when they can run. */
export function kubeletFault(): string {
  const fault = assetsFault(...MANAGERS) || (criFault() ?? imageFault() ?? "");
  if (fault !== "") return fault;
  if (KUBELET === "") return "KUBELET is not set";
  return existsSync(KUBELET) ? "" : `KUBELET names no program: ${KUBELET}`;
}

// As a package installs it, but for what a container without CAP_SYS_RESOURCE can't: lower OOM scores.
const CONTAINERD = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${BUSYBOX_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
`;

/** Sysctls of the whole machine that a kubelet sets; it finds them set, in files of ours. */
const SYSCTLS = {
  "vm/overcommit_memory": 1,
  "vm/panic_on_oom": 0,
  "kernel/panic": 10,
  "kernel/panic_on_oops": 1,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000,
};

/** A cgroup at the root: of the one hierarchy of cgroup v2, which has a file of its controllers, or of each of v1. */
const makeCgroup = (name: string) => `if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup/${name}"
else
  for dir in /sys/fs/cgroup/*/; do mkdir -p "$dir/${name}"; done
fi`;

/** A node of the cluster: containerd and a kubelet in a mount, network and PID namespace, with folders of its own. */
export class KubeletNode {
  readonly machine = new Machine();
  readonly address: string;
  readonly #number: number;

  private constructor(
    readonly plane: ControlPlane,
    readonly name: string,
    number: number,
  ) {
    this.#number = number;
    this.address = `10.9.0.${number}`;
  }

  /** Starts node `number` (1…99), with busybox and the image of `make image-host` imported, and waits until its Node is there. */
  static async start(plane: ControlPlane, number: number): Promise<KubeletNode> {
    const node = new KubeletNode(plane, `node${number}`, number);
    try {
      await node.#start();
      return node;
    } catch (error) {
      const said = node.logs();
      await node.machine.stop();
      throw new Error(`${node.name} did not start: ${error}\n${said}`);
    }
  }

  async #start(): Promise<void> {
    const { work } = this.machine;
    writeFileSync(`${work}/containerd.toml`, CONTAINERD);
    writeFileSync(`${work}/kubelet.json`, JSON.stringify(this.#config()));
    const subject = `/O=system:nodes/CN=system:node:${this.name}`;
    writeFileSync(`${work}/kubeconfig`, this.plane.configOf(this.name, subject));
    await this.machine.start(this.#script());
    this.#plug();
    const answers = () => this.machine.run(["ctr", "version"]).exitCode === 0;
    await waitFor("containerd answers", answers, () => this.logs(), START_TIMEOUT_MS);
    mkdirSync(`${work}/image`);
    for (const archive of [makePauseImage(`${work}/image`), ARCHIVE]) {
      this.machine.must(["ctr", "-n", "k8s.io", "image", "import", archive]);
    }
    this.startKubelet();
    const isThere = () => this.plane.kubectl("get", "node", this.name).exitCode === 0;
    await waitFor(`the Node ${this.name}`, isThere, () => this.logs(), START_TIMEOUT_MS);
  }

  stop(): Promise<void> {
    return this.machine.stop();
  }

  #config(): object {
    return {
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      authentication: { x509: { clientCAFile: this.plane.certificates.caFile } },
      authorization: { mode: "AlwaysAllow" },
      containerRuntimeEndpoint: `unix://${SOCKET}`,
      cgroupDriver: "cgroupfs",
      cgroupRoot: `/${this.machine.cgroup}`,
      enforceNodeAllocatable: [],
      failSwapOn: false,
      oomScoreAdj: 0,
      volumePluginDir: "/var/lib/kubelet/volume-plugins",
      evictionHard: { "memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%" },
      imageGCHighThresholdPercent: 100,
      syncFrequency: "5s",
    };
  }

  #script(): string {
    const sysctls = Object.entries(SYSCTLS).map(([path, value], index) => {
      const file = `$WORK/sysctl${index}`;
      return `echo ${value} >"${file}"; mount --bind "${file}" /proc/sys/${path}`;
    });
    const overlays = ["etc", "opt"].map((dir) => {
      const layer = `$WORK/layers/${dir}`;
      const options = `lowerdir=/${dir},upperdir=${layer}/upper,workdir=${layer}/work`;
      return `mkdir -p "${layer}/upper" "${layer}/work"; mount -t overlay -o "${options}" overlay /${dir}`;
    });
    return [
      // A systemd of the node's own would have made them so.
      "mount --make-rshared /",
      'mkdir "$WORK/layers"; mount -t tmpfs tmpfs "$WORK/layers"',
      "mount -t tmpfs tmpfs /var/log",
      ...overlays,
      "rm -rf /etc/cni /opt/cni",
      ...sysctls,
      makeCgroup(this.machine.cgroup),
      "mkdir -p /var/lib/kubelet",
      background("containerd", ["--config", `${this.machine.work}/containerd.toml`]),
    ].join("\n");
  }

  /** Its uplink on the link of the control plane's namespace. */
  #plug(): void {
    const port = `port${this.#number}`;
    const peer = ["type", "veth", "peer", "name", "eth0", "netns", processOf(this.machine)];
    const outside = ["nsenter", "-t", processOf(this.plane.machine), "--net", "ip", "link"];
    must(...outside, "add", port, ...peer);
    must(...outside, "set", port, "master", "lan", "up");
    this.machine.must(["ip", "addr", "add", `${this.address}/24`, "dev", "eth0"]);
    this.machine.must(["ip", "link", "set", "eth0", "up"]);
    this.machine.must(["ip", "route", "add", "default", "via", CONTROL_ADDRESS]);
  }

  startKubelet(): void {
    const { work } = this.machine;
    const command = background(KUBELET, [
      `--config=${work}/kubelet.json`,
      `--kubeconfig=${work}/kubeconfig`,
      `--hostname-override=${this.name}`,
      `--node-ip=${this.address}`,
    ]);
    this.machine.must(["sh", "-c", command], { WORK: work, PATH: process.env.PATH ?? "" });
  }

  /** The ends of the logs, for a test that failed. */
  logs(): string {
    const files = ["kubelet.log", "containerd.log"].map((name) => `${this.machine.work}/${name}`);
    return run(["tail", "-n", "30", ...files.filter((path) => existsSync(path))]).stdout;
  }
}
