import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import { N1, N2, type NodeWords } from "../kernel/agent-cluster.ts";
import { run } from "../kernel/sandbox.ts";
import { ARCHIVE, imageFault } from "./cluster-image.ts";
import { DaemonPod } from "./cluster-kubelet.ts";
import { type Manifest, readManifest } from "./cluster-manifest.ts";
import { ClusterNode } from "./cluster-node.ts";
import { type ServiceAccount, Underlay } from "./cluster-underlay.ts";
import { criFault, makePauseImage } from "./cri.ts";
import { allDone } from "./machine.ts";

/** Why no cluster can run here; null when it can. */
export function clusterFault(): string | null {
  if (Bun.which("curl") === null) return "missing: curl: run 'make packages-test'";
  return criFault() ?? imageFault();
}

const clusters = new Set<Cluster>();
process.on("exit", () => {
  for (const cluster of clusters) cluster.abandon();
});

/** Virtual nodes with containerd each, an API server, and the DaemonSet of k8s/minicni.yaml on all of them. */
export class Cluster {
  readonly folder = mkdtempSync(`${tmpdir()}/minicni-e2e-`);
  readonly underlay = new Underlay();
  /** The DaemonSet's pods, by node. */
  readonly daemons = new Map<ClusterNode, DaemonPod>();
  #nodes: readonly ClusterNode[] = [];
  #account: ServiceAccount | undefined;

  private constructor() {
    clusters.add(this);
  }

  get nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  /** The node by its place in the list, from 0. */
  node(index: number): ClusterNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`no node ${index}`);
    return node;
  }

  /** Nodes that run, with both images, and nothing of ours on them. Throws, with everything taken down, when that fails. */
  static async boot(words: readonly NodeWords[] = [N1, N2]): Promise<Cluster> {
    const cluster = new Cluster();
    try {
      await cluster.#boot(words);
      return cluster;
    } catch (error) {
      // What went wrong first says more than that it could not be taken down.
      await cluster.destroy().catch(() => {});
      throw error;
    }
  }

  async #boot(words: readonly NodeWords[]): Promise<void> {
    const { folder, underlay } = this;
    const snapshotter = snapshotterOf(folder);
    const cgroup = basename(folder);
    this.#nodes = words.map((node) => new ClusterNode(folder, cgroup, node, underlay, snapshotter));
    underlay.nodes(words);
    const image = `${folder}/image`;
    mkdirSync(image);
    const archive = makePauseImage(image);
    const serve = async () => {
      this.#account = await underlay.serve();
    };
    const boot = async (node: ClusterNode) => {
      await node.boot();
      for (const path of [archive, ARCHIVE]) await node.importImage(path);
    };
    await allDone([serve(), ...this.nodes.map(boot)]);
  }

  /** `kubectl apply -f k8s/minicni.yaml`: the DaemonSet's pod on every node; returns when all are ready. */
  async apply(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const manifest = readManifest(settings);
    await allDone(this.nodes.map((node) => this.startDaemon(node, manifest)));
  }

  /** The DaemonSet's pod on one node; returns when it is ready. */
  async startDaemon(
    node: ClusterNode,
    manifest: Manifest = readManifest(),
    image: string | null = null,
  ): Promise<DaemonPod> {
    const pod = this.makeDaemon(node, manifest, image);
    this.daemons.set(node, pod);
    await pod.prepare();
    await pod.run();
    await pod.ready();
    return pod;
  }

  /** The same, to be started step by step. */
  makeDaemon(node: ClusterNode, manifest: Manifest = readManifest(), image: string | null = null): DaemonPod {
    if (this.#account === undefined) throw new Error("the API server does not run");
    return new DaemonPod(node, manifest, this.#account, image);
  }

  /** The DaemonSet's pod that runs on a node. */
  daemon(node: ClusterNode): DaemonPod {
    const pod = this.daemons.get(node);
    if (pod === undefined) throw new Error(`no agent on ${node.name}`);
    return pod;
  }

  /** Takes all of it down. Throws when a part of it can't be, but not before the rest is. */
  async destroy(): Promise<void> {
    try {
      await allDone(this.nodes.map((node) => node.cutPower()));
    } finally {
      try {
        await this.underlay.destroy();
      } finally {
        this.abandon();
      }
    }
  }

  /** The same without waiting, for the end of the test's process. */
  abandon(): void {
    clusters.delete(this);
    for (const node of this.nodes) node.abandon();
    this.underlay.abandon();
    // Runtimes remove these with the container; they stay when the container's end was the namespace's.
    const own = ["-depth", "-type", "d", "-path", `*/${basename(this.folder)}*`, "-delete"];
    run(["find", "/sys/fs/cgroup", ...own]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Overlayfs, as on real nodes, where the folder's file system takes it. */
function snapshotterOf(folder: string): string {
  for (const name of ["l", "u", "w", "m"]) mkdirSync(`${folder}/probe/${name}`, { recursive: true });
  const layers = "lowerdir=l,upperdir=u,workdir=w";
  const mount = `cd "$0" && mount -t overlay overlay -o ${layers} m`;
  const done = run(["unshare", "--mount", "sh", "-c", mount, `${folder}/probe`]);
  rmSync(`${folder}/probe`, { recursive: true });
  return done.exitCode === 0 ? "overlayfs" : "native";
}
