import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { must, run } from "../kernel/sandbox.ts";
import type { NetworkList } from "./conflist.ts";
import { call } from "./grpc.ts";
import { makeImage } from "./image.ts";
import { Machine, until } from "./machine.ts";
import { encode, integer, type Message, messages, text } from "./protobuf.ts";

const TOOLS = [
  "containerd",
  "ctr",
  "runc",
  "busybox",
  "unshare",
  "nsenter",
  "iptables-save",
  "timeout",
  "tar",
];
const IMAGE = "minicni.test/busybox:e2e";
const RUNTIME = "/runtime.v1.RuntimeService";
const EXEC_TIMEOUT_S = 10;

// Without CAP_SYS_RESOURCE, as in many containers, the score can't be lowered: restrict_oom_score_adj.
const CONFIG = ({ work, plugins }: Machine) => `version = 2
[grpc]
address = "${work}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${plugins}"
conf_dir = "${work}/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
`;

/** Why containerd's CRI can't run here; null when it can. */
export function criFault(): string | null {
  const missing = TOOLS.filter((tool) => Bun.which(tool) === null);
  if (missing.length > 0) return `missing: ${missing.join(" ")}: run 'make packages-test'`;
  return process.getuid?.() === 0 ? null : "namespaces and mounts need root";
}

/** A pod as the CRI tells it. */
export interface PodStatus {
  readonly ready: boolean;
  readonly ips: readonly string[];
}

/** Containerd with its CRI service on a machine of its own, spoken to as the kubelet does. */
export class Cri {
  readonly machine = new Machine();
  readonly #socket = `${this.machine.work}/containerd.sock`;
  readonly #configs = new Map<string, Uint8Array>();

  private constructor(network: NetworkList) {
    const { work } = this.machine;
    mkdirSync(`${work}/net.d`);
    mkdirSync(`${work}/image`);
    writeFileSync(`${work}/net.d/10-minicni.conflist`, JSON.stringify(network));
    writeFileSync(`${work}/containerd.toml`, CONFIG(this.machine));
  }

  /** Starts containerd and imports the image. Throws, with everything taken down again, when that fails. */
  static async start(network: NetworkList): Promise<Cri> {
    const cri = new Cri(network);
    await cri.machine.start(
      'containerd --config "$WORK/containerd.toml" </dev/null >"$WORK/containerd.log" 2>&1 &',
    );
    try {
      await until("the CRI answers", () => cri.#answers("Version"));
      const archive = makePauseImage(`${cri.machine.work}/image`);
      const ctr = ["ctr", "--address", cri.#socket, "-n", "k8s.io"];
      cri.machine.must([...ctr, "image", "import", "--snapshotter", "native", archive]);
      const image = encode([1, encode([1, IMAGE])]);
      // The CRI hears of the image a little later.
      await until("the CRI knows the image", async () =>
        (await call(cri.#socket, "/runtime.v1.ImageService/ImageStatus", image)).has(1),
      );
      return cri;
    } catch (error) {
      const log = run(["tail", "-n", "20", `${cri.machine.work}/containerd.log`]).stdout;
      await cri.machine.stop();
      throw new Error(`containerd did not start: ${error}\n${log}`);
    }
  }

  async #answers(method: string): Promise<boolean> {
    try {
      await this.#call(method);
      return true;
    } catch {
      return false;
    }
  }

  #call(method: string, request = encode()): Promise<Message> {
    return call(this.#socket, `${RUNTIME}/${method}`, request);
  }

  /** Whether the CRI holds its network for ready, as it tells the kubelet. */
  async networkReady(): Promise<boolean> {
    const [status] = messages(await this.#call("Status"), 1);
    const conditions = status === undefined ? [] : messages(status, 1);
    return (
      integer(
        conditions.find((condition) => text(condition, 1) === "NetworkReady"),
        2,
      ) === 1
    );
  }

  /** RunPodSandbox; returns the pod's ID. */
  async runPod(name: string, annotations: Record<string, string>, hostPort?: number): Promise<string> {
    const metadata = encode([1, name], [2, `uid-${name}`], [3, "default"]);
    const port = hostPort === undefined ? [] : [[5, encode([2, 80], [3, hostPort])] as const];
    const notes = Object.entries(annotations).map(
      ([key, value]) => [7, encode([1, key], [2, value])] as const,
    );
    const linux = encode([1, `/${this.machine.cgroup}`]);
    const config = encode([1, metadata], [2, name], ...port, ...notes, [8, linux]);
    const id = text(await this.#call("RunPodSandbox", encode([1, config])), 1);
    this.#configs.set(id, config);
    return id;
  }

  /** A container in the pod that serves its /etc (so also the pod's name) on port 80; returns its ID. */
  async runServer(pod: string): Promise<string> {
    const words = ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc"];
    const command = words.map((word) => [3, word] as const);
    const config = encode([1, encode([1, "server"])], [2, encode([1, IMAGE])], ...command);
    const request = encode([1, pod], [2, config], [3, this.#configs.get(pod) ?? ""]);
    const id = text(await this.#call("CreateContainer", request), 1);
    await this.#call("StartContainer", encode([1, id]));
    return id;
  }

  /** ExecSync in a container. */
  async exec(container: string, ...argv: string[]): Promise<{ exitCode: number; stdout: string }> {
    const words = argv.map((word) => [2, word] as const);
    const done = await this.#call("ExecSync", encode([1, container], ...words, [3, EXEC_TIMEOUT_S]));
    return { exitCode: integer(done, 3), stdout: text(done, 1) };
  }

  /** PodSandboxStatus. */
  async status(pod: string): Promise<PodStatus> {
    const [status] = messages(await this.#call("PodSandboxStatus", encode([1, pod])), 1);
    const [network] = status === undefined ? [] : messages(status, 5);
    const others = network === undefined ? [] : messages(network, 2).map((other) => text(other, 1));
    return { ready: integer(status, 3) === 0, ips: [text(network, 1), ...others] };
  }

  /** StopPodSandbox: DEL, and the end of its containers. */
  async stopPod(pod: string): Promise<void> {
    await this.#call("StopPodSandbox", encode([1, pod]));
  }

  /** RemovePodSandbox. */
  async removePod(pod: string): Promise<void> {
    await this.#call("RemovePodSandbox", encode([1, pod]));
  }

  /** IDs of the pods that the CRI knows. */
  async pods(): Promise<string[]> {
    return messages(await this.#call("ListPodSandbox"), 1).map((pod) => text(pod, 1));
  }
}

/** The image of {@link makeImage} with a command that stays, for a sandbox lives as long as its first process. */
export function makePauseImage(folder: string): string {
  const archive = makeImage(folder, IMAGE);
  const layout = `${folder}/layout`;
  const blob = (digest: string) => JSON.parse(readFileSync(`${layout}/${path(digest)}`, "utf8"));
  const add = (value: unknown) => {
    const content = JSON.stringify(value);
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    writeFileSync(`${layout}/${path(digest)}`, content);
    return { digest, size: content.length };
  };
  const index = JSON.parse(readFileSync(`${layout}/index.json`, "utf8"));
  const manifest = blob(index.manifests[0].digest);
  const config = blob(manifest.config.digest);
  config.config.Cmd = ["sleep", "3600"];
  Object.assign(manifest.config, add(config));
  Object.assign(index.manifests[0], add(manifest));
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
  must("tar", "-cf", archive, "-C", layout, ".");
  return archive;
}
const path = (digest: string) => `blobs/${digest.replace(":", "/")}`;
