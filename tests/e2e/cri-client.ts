import {
  type ContainerSpec,
  type Entry,
  encodeContainer,
  encodeSandbox,
  type SandboxSpec,
} from "./cri-config.ts";
import { call } from "./grpc.ts";
import { encode, integer, type Message, messages, text } from "./protobuf.ts";

const RUNTIME = "/runtime.v1.RuntimeService";
const IMAGES = "/runtime.v1.ImageService";
const EXEC_TIMEOUT_S = 15;

const STATES = ["created", "running", "exited", "unknown"] as const;

/** A pod as the CRI tells it. */
export interface PodStatus {
  readonly ready: boolean;
  readonly ips: readonly string[];
}

/** A container as the CRI tells it. */
export interface ContainerStatus {
  readonly state: (typeof STATES)[number];
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
}

/** The CRI of one containerd (v1, as 1.6 speaks it), over its socket: what the kubelet calls. */
export class CriClient {
  readonly #configs = new Map<string, Uint8Array>();

  constructor(readonly socket: string) {}

  #call(method: string, ...request: readonly Entry[]): Promise<Message> {
    return call(this.socket, `${RUNTIME}/${method}`, encode(...request));
  }

  /** Whether the service answers at all. */
  async answers(): Promise<boolean> {
    try {
      await this.#call("Version");
      return true;
    } catch {
      return false;
    }
  }

  /** Whether it knows the image by this name. */
  async knowsImage(name: string): Promise<boolean> {
    const answer = await call(this.socket, `${IMAGES}/ImageStatus`, encode([1, encode([1, name])]));
    return answer.has(1);
  }

  /** Whether the CRI holds its network for ready, as it tells the kubelet. */
  async networkReady(): Promise<boolean> {
    const [status] = messages(await this.#call("Status"), 1);
    const conditions = status === undefined ? [] : messages(status, 1);
    const network = conditions.find((condition) => text(condition, 1) === "NetworkReady");
    return integer(network, 2) === 1;
  }

  /** RunPodSandbox; returns the pod's ID. */
  async runPod(spec: SandboxSpec): Promise<string> {
    const config = encodeSandbox(spec);
    const pod = text(await this.#call("RunPodSandbox", [1, config]), 1);
    this.#configs.set(pod, config);
    return pod;
  }

  /** CreateContainer and StartContainer; returns the container's ID. */
  async runContainer(pod: string, spec: ContainerSpec): Promise<string> {
    const config = encodeContainer(spec);
    const sandbox = this.#configs.get(pod) ?? "";
    const created = await this.#call("CreateContainer", [1, pod], [2, config], [3, sandbox]);
    const container = text(created, 1);
    await this.#call("StartContainer", [1, container]);
    return container;
  }

  /** ExecSync in a container; a command that takes longer throws. */
  async exec(container: string, ...argv: string[]) {
    const words = argv.map((word): Entry => [2, word]);
    const done = await this.#call("ExecSync", [1, container], ...words, [3, EXEC_TIMEOUT_S]);
    return { exitCode: integer(done, 3), stdout: text(done, 1), stderr: text(done, 2) };
  }

  /** PodSandboxStatus. */
  async podStatus(pod: string): Promise<PodStatus> {
    const [status] = messages(await this.#call("PodSandboxStatus", [1, pod]), 1);
    const [network] = status === undefined ? [] : messages(status, 5);
    const others = network === undefined ? [] : messages(network, 2).map((other) => text(other, 1));
    return { ready: integer(status, 3) === 0, ips: [text(network, 1), ...others] };
  }

  /** ContainerStatus. */
  async containerStatus(container: string): Promise<ContainerStatus> {
    const [status] = messages(await this.#call("ContainerStatus", [1, container]), 1);
    const state = STATES[integer(status, 3)] ?? "unknown";
    return { state, exitCode: integer(status, 7), reason: text(status, 10), message: text(status, 11) };
  }

  /** StopContainer: SIGTERM, and SIGKILL after the time. */
  async stopContainer(container: string, timeoutS: number): Promise<void> {
    await this.#call("StopContainer", [1, container], [2, timeoutS]);
  }

  /** RemoveContainer. */
  async removeContainer(container: string): Promise<void> {
    await this.#call("RemoveContainer", [1, container]);
  }

  /** StopPodSandbox: DEL, and the end of its containers. */
  async stopPod(pod: string): Promise<void> {
    await this.#call("StopPodSandbox", [1, pod]);
  }

  /** RemovePodSandbox. */
  async removePod(pod: string): Promise<void> {
    await this.#call("RemovePodSandbox", [1, pod]);
    this.#configs.delete(pod);
  }

  /** IDs of the pods that the CRI knows. */
  async pods(): Promise<string[]> {
    return messages(await this.#call("ListPodSandbox"), 1).map((pod) => text(pod, 1));
  }
}
