import { MASKED_PATHS, READONLY_PATHS } from "./cri-paths.ts";
import { encode, type Field } from "./protobuf.ts";

/** A field of a message. */
export type Entry = readonly [number: number, value: Field];

/** NamespaceMode of the CRI: a namespace of the pod's own, or the node's. */
const NAMESPACE_MODE = { pod: 0, node: 2 } as const;
/** MountPropagation of the CRI, by the words of a pod's volumeMounts. */
const PROPAGATION = { None: 0, HostToContainer: 1, Bidirectional: 2 } as const;
/** Protocol of the CRI, by the words of a container's ports. */
const PROTOCOL = { TCP: 0, UDP: 1, SCTP: 2 } as const;
/** SecurityProfile.ProfileType of the CRI, by the words of a pod's seccompProfile. */
const SECCOMP = { RuntimeDefault: 0, Unconfined: 1 } as const;

/** How a volume that is mounted below it propagates. */
export type Propagation = keyof typeof PROPAGATION;
/** Which system calls a container may use. */
export type SeccompProfile = keyof typeof SECCOMP;

/** A port of the node that leads to one of the pod. */
export interface HostPort {
  readonly protocol?: keyof typeof PROTOCOL;
  readonly containerPort: number;
  readonly hostPort: number;
  /** An address of the node; each, without. */
  readonly hostIp?: string;
}

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
  readonly hostPorts?: readonly HostPort[];
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

/** PodSandboxConfig. */
export function encodeSandbox(spec: SandboxSpec): Uint8Array {
  const metadata = [
    [1, spec.name],
    [2, spec.uid],
    [3, spec.namespace ?? "default"],
    [4, spec.attempt ?? 0],
  ] as const;
  const namespaces = encode([1, NAMESPACE_MODE[spec.hostNetwork ? "node" : "pod"]]);
  const ids = [...id(3, spec.runAsUser), ...id(8, spec.runAsGroup)];
  const security = encode([1, namespaces], ...ids, ...seccomp(9, spec.seccomp));
  return encode(
    [1, encode(...metadata)],
    [2, spec.hostNetwork ? "" : (spec.hostname ?? spec.name)],
    ...(spec.logDirectory === undefined ? [] : [[3, spec.logDirectory] as const]),
    ...(spec.hostPorts ?? []).map((port): Entry => [5, encodeHostPort(port)]),
    ...map(6, spec.labels),
    ...map(7, spec.annotations),
    [8, encode([1, spec.cgroupParent], [2, security])],
  );
}

/** ContainerConfig. */
export function encodeContainer(spec: ContainerSpec): Uint8Array {
  const list = (number: number, words: readonly string[] = []) => words.map((word): Entry => [number, word]);
  return encode(
    [1, encode([1, spec.name], [2, spec.attempt ?? 0])],
    [2, encode([1, spec.image])],
    ...list(3, spec.command),
    ...list(4, spec.args),
    ...map(6, spec.env),
    ...(spec.mounts ?? []).map((mount): Entry => [7, encodeMount(mount)]),
    ...(spec.logPath === undefined ? [] : [[11, spec.logPath] as const]),
    [15, encode([2, encodeSecurity(spec)])],
  );
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

function encodeHostPort({ protocol = "TCP", containerPort, hostPort, hostIp = "" }: HostPort): Uint8Array {
  return encode([1, PROTOCOL[protocol]], [2, containerPort], [3, hostPort], [4, hostIp]);
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
