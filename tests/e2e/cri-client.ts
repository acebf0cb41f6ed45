import { MASKED_PATHS, READONLY_PATHS } from "./cri-paths.ts";
import { call } from "./grpc.ts";
import { encode, type Field, integer, type Message, messages, text } from "./protobuf.ts";

const RUNTIME = "/runtime.v1.RuntimeService";
const IMAGES = "/runtime.v1.ImageService";
const EXEC_TIMEOUT_S = 15;

type Entry = readonly [number: number, value: Field];

/** NamespaceMode of the CRI: a namespace of the pod's own, or the node's. */
const NAMESPACE_MODE = { pod: 0, node: 2 } as const;
/** MountPropagation of the CRI, by the words of a pod's volumeMounts. */
const PROPAGATION = { None: 0, HostToContainer: 1, Bidirectional: 2 } as const;
/** SecurityProfile.ProfileType of the CRI, by the words of a pod's seccompProfile. */
const SECCOMP = { RuntimeDefault: 0, Unconfined: 1 } as const;
const STATES = ["created", "running", "exited", "unknown"] as const;

/** How a volume that is mounted below it propagates. */
export type Propagation = keyof typeof PROPAGATION;
/** Which system calls a container may use. */
export type SeccompProfile = keyof typeof SECCOMP;

/** A sandbox as kubelet asks for it. */
export interface SandboxSpec {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  /** How many sandboxes of this pod were there before. */
  readonly attempt?: number;
  readonly hostname?: string;
  readonly hostNetwork?: boolean;
  readonly logDirectory?: string;
  readonly cgroupParent: string;
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly seccomp?: SeccompProfile;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hostPort?: { readonly containerPort: number; readonly hostPort: number };
}

/** A bind mount from the node into a container. */
export interface MountSpec {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  readonly propagation: Propagation;
}

/** A container as kubelet asks for it. */
export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly attempt?: number;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: readonly MountSpec[];
  readonly logPath?: string;
  readonly hostNetwork?: boolean;
  readonly addCapabilities?: readonly string[];
  readonly dropCapabilities?: readonly string[];
  readonly readOnlyRootFilesystem?: boolean;
  readonly noNewPrivileges?: boolean;
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly seccomp?: SeccompProfile;
}

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
    const metadata = [
      [1, spec.name],
      [2, spec.uid],
      [3, spec.namespace ?? "default"],
      [4, spec.attempt ?? 0],
    ] as const;
    const { hostPort } = spec;
    const port = hostPort && encode([2, hostPort.containerPort], [3, hostPort.hostPort]);
    const namespaces = encode([1, NAMESPACE_MODE[spec.hostNetwork ? "node" : "pod"]]);
    const ids = [...id(3, spec.runAsUser), ...id(8, spec.runAsGroup)];
    const security = encode([1, namespaces], ...ids, ...seccomp(9, spec.seccomp));
    const config = encode(
      [1, encode(...metadata)],
      [2, spec.hostNetwork ? "" : (spec.hostname ?? spec.name)],
      ...(spec.logDirectory === undefined ? [] : [[3, spec.logDirectory] as const]),
      ...(port === undefined ? [] : [[5, port] as const]),
      ...map(6, spec.labels),
      ...map(7, spec.annotations),
      [8, encode([1, spec.cgroupParent], [2, security])],
    );
    const pod = text(await this.#call("RunPodSandbox", [1, config]), 1);
    this.#configs.set(pod, config);
    return pod;
  }

  /** CreateContainer and StartContainer; returns the container's ID. */
  async runContainer(pod: string, spec: ContainerSpec): Promise<string> {
    const list = (number: number, words: readonly string[] = []) =>
      words.map((word): Entry => [number, word]);
    const config = encode(
      [1, encode([1, spec.name], [2, spec.attempt ?? 0])],
      [2, encode([1, spec.image])],
      ...list(3, spec.command),
      ...list(4, spec.args),
      ...map(6, spec.env),
      ...(spec.mounts ?? []).map((mount): Entry => [7, encodeMount(mount)]),
      ...(spec.logPath === undefined ? [] : [[11, spec.logPath] as const]),
      [15, encode([2, encodeSecurity(spec)])],
    );
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

function map(number: number, entries: Readonly<Record<string, string>> = {}): Entry[] {
  return Object.entries(entries).map(([key, value]) => [number, encode([1, key], [2, value])]);
}

/** A user's or a group's; 0 is root, and none is what the image says. */
function id(number: number, value: number | undefined): Entry[] {
  return value === undefined ? [] : [[number, encode([1, value])]];
}

function seccomp(number: number, profile: SeccompProfile = "Unconfined"): Entry[] {
  return [[number, encode([1, SECCOMP[profile]])]];
}

function encodeMount({ containerPath, hostPath, readOnly, propagation }: MountSpec): Uint8Array {
  return encode([1, containerPath], [2, hostPath], [3, readOnly ? 1 : 0], [5, PROPAGATION[propagation]]);
}

function encodeSecurity(spec: ContainerSpec): Uint8Array {
  const capabilities = encode(
    ...(spec.addCapabilities ?? []).map((name): Entry => [1, name]),
    ...(spec.dropCapabilities ?? []).map((name): Entry => [2, name]),
  );
  return encode(
    [1, capabilities],
    [3, encode([1, NAMESPACE_MODE[spec.hostNetwork ? "node" : "pod"]], [2, 1])],
    ...id(5, spec.runAsUser),
    [7, spec.readOnlyRootFilesystem ? 1 : 0],
    [11, spec.noNewPrivileges ? 1 : 0],
    ...id(12, spec.runAsGroup),
    ...MASKED_PATHS.map((path): Entry => [13, path]),
    ...READONLY_PATHS.map((path): Entry => [14, path]),
    ...seccomp(15, spec.seccomp),
  );
}
