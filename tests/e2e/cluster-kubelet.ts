import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import type { Manifest, ManifestContainer, ManifestProbe, ManifestVolume } from "./cluster-manifest.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { ServiceAccount } from "./cluster-underlay.ts";
import type { ContainerSpec, MountSpec } from "./cri-config.ts";

const ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
/** The init container copies a program of 100 MB, on a machine that has other things to do. */
const INIT_TIMEOUT_MS = 60_000;

/** The DaemonSet's pod on one node, made as kubelet makes it: from the manifest, through the CRI. */
export class DaemonPod {
  readonly uid = crypto.randomUUID();
  readonly #logs: string;
  readonly #containers = new Map<string, string>();
  readonly #attempts = new Map<string, number>();
  #sandbox = "";

  constructor(
    readonly node: ClusterNode,
    readonly manifest: Manifest,
    readonly account: ServiceAccount,
    /** Takes the place of the manifest's image, as `kustomize edit set image` does. */
    readonly image: string | null = null,
  ) {
    this.#logs = `/var/log/pods/${manifest.namespace}_${manifest.name}-${node.name}_${this.uid}`;
  }

  /** The sandbox, and each init container to its end. Throws with its log when one fails. */
  async prepare(): Promise<void> {
    const { name, namespace, labels, annotations, pod } = this.manifest;
    mkdirSync(this.node.path(this.#logs), { recursive: true });
    for (const volume of pod.volumes) this.#prepare(volume);
    this.#sandbox = await this.node.cri.runPod({
      name: `${name}-${this.node.name}`,
      namespace,
      uid: this.uid,
      hostNetwork: true,
      logDirectory: this.#logs,
      cgroupParent: `/${this.node.cgroup}`,
      runAsUser: pod.securityContext.runAsUser,
      runAsGroup: pod.securityContext.runAsGroup,
      seccomp: pod.securityContext.seccompProfile.type,
      labels,
      annotations,
    });
    for (const container of pod.initContainers) await this.#runToEnd(container);
  }

  /** The containers, after {@link prepare}. */
  async run(): Promise<void> {
    for (const container of this.manifest.pod.containers) await this.#run(container);
  }

  /** Waits until the startup and then the readiness probes of every container passed, and nothing ended meanwhile. */
  async ready(timeoutMs = 30_000): Promise<void> {
    for (const container of this.manifest.pod.containers)
      for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe])
        if (probe !== undefined) await this.#passes(container.name, probe, timeoutMs);
  }

  /** Whether the readiness probe of every container passes now. */
  isReady(): boolean {
    return this.manifest.pod.containers.every(
      ({ readinessProbe }) => readinessProbe === undefined || this.#probe(readinessProbe).passed,
    );
  }

  /** Ends the containers, with the grace period of the manifest, and the sandbox; then removes all of it. */
  async stop(): Promise<void> {
    for (const { name } of this.manifest.pod.containers)
      if (this.#containers.has(name)) await this.stopContainer(name);
    await this.node.cri.stopPod(this.#sandbox);
    await this.node.cri.removePod(this.#sandbox);
  }

  /** Ends one container; the pod stays. Returns its exit code. */
  async stopContainer(name: string): Promise<number> {
    const id = this.#id(name);
    await this.node.cri.stopContainer(id, this.manifest.pod.terminationGracePeriodSeconds);
    return (await this.node.cri.containerStatus(id)).exitCode;
  }

  /** Ends one container by SIGKILL, as the kernel does when memory is short. Returns its exit code. */
  async killContainer(name: string): Promise<number> {
    const id = this.#id(name);
    await this.node.cri.stopContainer(id, 0);
    return (await this.node.cri.containerStatus(id)).exitCode;
  }

  /** Starts one container again after its end, as kubelet does. */
  async restartContainer(name: string): Promise<void> {
    const container = this.manifest.pod.containers.find((each) => each.name === name);
    if (container === undefined) throw new Error(`the manifest has no container ${name}`);
    await this.#run(container);
  }

  /** What a container wrote, over all its lives in this pod. */
  log(name: string): string {
    const lives = Array.from({ length: this.#attempts.get(name) ?? 0 }, (_, attempt) =>
      this.node.path(`${this.#logs}/${name}/${attempt}.log`),
    );
    const lines = lives.filter(existsSync).flatMap((path) => readFileSync(path, "utf8").split("\n"));
    // Each line of the CRI's log format begins with time, stream and a tag.
    return lines.map((line) => line.split(" ").slice(3).join(" ")).join("\n");
  }

  /** The ID of a container's present life. */
  #id(name: string): string {
    const id = this.#containers.get(name);
    if (id === undefined) throw new Error(`container ${name} never ran`);
    return id;
  }

  async #runToEnd(container: ManifestContainer): Promise<void> {
    const id = await this.#run(container);
    const status = () => this.node.cri.containerStatus(id);
    const log = () => this.log(container.name);
    const hasEnded = async () => (await status()).state === "exited";
    await waitFor(`${container.name} ends`, hasEnded, log, INIT_TIMEOUT_MS);
    const { exitCode, message } = await status();
    if (exitCode !== 0) throw new Error(`${container.name}: exit ${exitCode}: ${message}\n${log()}`);
  }

  async #run(container: ManifestContainer): Promise<string> {
    const attempt = this.#attempts.get(container.name) ?? 0;
    this.#attempts.set(container.name, attempt + 1);
    mkdirSync(this.node.path(`${this.#logs}/${container.name}`), { recursive: true });
    const id = await this.node.cri.runContainer(this.#sandbox, this.#spec(container, attempt));
    this.#containers.set(container.name, id);
    return id;
  }

  #spec(container: ManifestContainer, attempt: number): ContainerSpec {
    const { securityContext: security, command, args } = container;
    const { securityContext: podSecurity } = this.manifest.pod;
    return {
      name: container.name,
      image: this.image ?? container.image,
      attempt,
      ...(command === undefined ? {} : { command }),
      ...(args === undefined ? {} : { args }),
      env: this.#variables(container),
      mounts: [...container.volumeMounts.map((mount) => this.#mount(mount)), this.#accountMount()],
      logPath: `${container.name}/${attempt}.log`,
      hostNetwork: true,
      addCapabilities: security.capabilities?.add ?? [],
      dropCapabilities: security.capabilities?.drop ?? [],
      readOnlyRootFilesystem: security.readOnlyRootFilesystem ?? false,
      noNewPrivileges: security.allowPrivilegeEscalation === false,
      runAsUser: security.runAsUser ?? podSecurity.runAsUser,
      runAsGroup: security.runAsGroup ?? podSecurity.runAsGroup,
      seccomp: podSecurity.seccompProfile.type,
    };
  }

  #variables({ env, envFrom }: ManifestContainer): Record<string, string> {
    const fields = {
      "spec.nodeName": this.node.name,
      "status.hostIP": this.node.words.addresses[0] ?? "",
      "metadata.name": `${this.manifest.name}-${this.node.name}`,
    };
    const variables: Record<string, string> = { ...this.account.variables };
    for (const { configMapRef } of envFrom) {
      const data = this.manifest.configMaps.get(configMapRef.name);
      if (data === undefined) throw new Error(`no ConfigMap ${configMapRef.name}`);
      Object.assign(variables, data);
    }
    for (const variable of env)
      variables[variable.name] =
        "value" in variable ? variable.value : fields[variable.valueFrom.fieldRef.fieldPath];
    return variables;
  }

  #mount({
    name,
    mountPath,
    readOnly,
    mountPropagation,
  }: ManifestContainer["volumeMounts"][number]): MountSpec {
    const volume = this.manifest.pod.volumes.find((each) => each.name === name);
    if (volume === undefined) throw new Error(`no volume ${name}`);
    const { path } = volume.hostPath;
    return { hostPath: path, containerPath: mountPath, readOnly, propagation: mountPropagation };
  }

  /** What the types of hostPath ask for: k8s.io/kubernetes pkg/volume/hostpath. */
  #prepare({ name, hostPath: { path, type } }: ManifestVolume): void {
    const outside = this.node.path(path);
    const exists = existsSync(outside);
    if (!exists && type === "DirectoryOrCreate") mkdirSync(outside, { recursive: true, mode: 0o755 });
    else if (!exists && type === "FileOrCreate") writeFileSync(outside, "", { mode: 0o644 });
    else if (!exists || statSync(outside).isDirectory() !== type.startsWith("Directory"))
      throw new Error(`volume ${name}: hostPath type check failed: ${path} is not a ${type}`);
  }

  /** The projected volume that admission adds to every pod. */
  #accountMount(): MountSpec {
    const folder = `/var/lib/kubelet/pods/${this.uid}/volumes/kubernetes.io~projected/kube-api-access`;
    const { token, caCertificate } = this.account;
    const outside = this.node.path(folder);
    mkdirSync(outside, { recursive: true });
    const files = { token, "ca.crt": caCertificate, namespace: this.manifest.namespace };
    for (const [name, text] of Object.entries(files)) writeFileSync(`${outside}/${name}`, text);
    return { hostPath: folder, containerPath: ACCOUNT_FOLDER, readOnly: true, propagation: "None" };
  }

  async #passes(container: string, probe: ManifestProbe, timeoutMs: number): Promise<void> {
    const { path } = probe.httpGet;
    let last = "";
    const explain = () => `${last}\n${this.log(container)}`;
    const passes = async () => {
      const { state, exitCode } = await this.node.cri.containerStatus(this.#id(container));
      const { passed, said } = this.#probe(probe);
      last = `${state} ${exitCode}, ${path}: ${said}`;
      if (state === "exited") throw new Error(`${container} on ${this.node.name} ended: ${explain()}`);
      return state === "running" && passed;
    };
    await waitFor(`${path} of ${container} on ${this.node.name} passes`, passes, explain, timeoutMs);
  }

  #probe({ httpGet, timeoutSeconds }: ManifestProbe): { passed: boolean; said: string } {
    const { host, port, path } = httpGet;
    const url = `http://${host}:${port}${path}`;
    const ask = ["curl", "-sS", "-m", `${timeoutSeconds}`, "-w", "%{http_code}", url];
    const { stdout, stderr } = this.node.run(ask);
    return { passed: /[23]\d\d$/.test(stdout), said: `${stdout}${stderr}` };
  }
}
