import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { relative } from "node:path";
import { waitFor } from "../kernel/agent.ts";
import { parseDocuments, schemaFaults } from "../unit/manifest-schema.ts";
import { goTool } from "./gotool.ts";
import { assetsFault, ControlPlane } from "./kube-assets.ts";

setDefaultTimeout(60_000);

const K8S = `${import.meta.dir}/../../k8s`;
const FLAT = readFileSync(`${K8S}/minicni.yaml`, "utf8");

const TOOL = await goTool("kustomize", "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1");
if (TOOL.fault !== undefined) process.stderr.write(`skipped: kustomize: ${TOOL.fault}\n`);
const FAULT = assetsFault();
if (FAULT !== "") process.stderr.write(`skipped: kubectl against an API server: ${FAULT}\n`);

const work = mkdtempSync(`${tmpdir()}/minicni-manifests-`);
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** What kustomize makes of a folder, as documents. */
function build(folder: string): unknown[] {
  const child = Bun.spawnSync({
    cmd: [TOOL.path ?? "", "build", "--load-restrictor", "LoadRestrictionsNone", folder],
    timeout: 30_000,
  });
  if (child.exitCode !== 0) throw new Error(child.stderr.toString());
  return parseDocuments(child.stdout.toString());
}

/** What an administrator's own overlay over the base makes. */
function overlay(name: string, more: string): unknown[] {
  const folder = `${work}/${name}`;
  mkdirSync(folder);
  writeFileSync(
    `${folder}/kustomization.yaml`,
    `resources:\n  - ${relative(folder, `${K8S}/base`)}\n${more}`,
  );
  return build(folder);
}

/** Where two trees differ, by path and new value; objects and lists that only one of them has are named whole. */
function differences(before: unknown, after: unknown, path = ""): Record<string, unknown> {
  if (Bun.deepEquals(before, after)) return {};
  const [from, to] = [Object(before), Object(after)];
  if (from !== before || to !== after) return { [path]: after };
  const found: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(from), ...Object.keys(to)]))
    Object.assign(found, differences(from[key], to[key], path === "" ? key : `${path}/${key}`));
  return found;
}

describe.skipIf(TOOL.fault !== undefined)("kustomize", () => {
  test("makes of the base what the flat file has", () => {
    expect(differences(parseDocuments(FLAT), build(`${K8S}/base`))).toEqual({});
  });

  test.each([
    ["vxlan", { "3/data/MINICNI_BACKEND": "vxlan" }],
    ["dual-stack", { "3/data/MINICNI_CLUSTER_CIDRS": "10.244.0.0/16,fd00:10:244::/56" }],
    [
      "node-condition",
      {
        "1/rules/1": { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
        "3/data/MINICNI_NODE_CONDITION": "true",
      },
    ],
  ])("changes with overlays/%s what that is for, and nothing else", (name, changes) => {
    const built = build(`${K8S}/overlays/${name}`);
    expect(built.flatMap(schemaFaults)).toEqual([]);
    expect(differences(build(`${K8S}/base`), built)).toEqual(changes);
  });

  test("moves all of it to another namespace, the subject of the binding too", () => {
    const built = overlay("namespace", "namespace: network\n");
    expect(differences(build(`${K8S}/base`), built)).toEqual({
      "0/metadata/namespace": "network",
      "2/subjects/0/namespace": "network",
      "3/metadata/namespace": "network",
      "4/metadata/namespace": "network",
    });
  });

  test("renames the image in both containers", () => {
    const built = overlay(
      "image",
      "images:\n  - name: localhost/minicni\n    newName: images.example/minicni\n",
    );
    const image = (path: string) => ({
      [`4/spec/template/spec/${path}/0/image`]: "images.example/minicni:0.1.0",
    });
    expect(differences(build(`${K8S}/base`), built)).toEqual({
      ...image("containers"),
      ...image("initContainers"),
    });
  });
});

describe.skipIf(FAULT !== "")("kubectl", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await ControlPlane.start();
    // A dry run makes neither for the pods that are in them.
    const namespace = "minicni-test";
    plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: namespace, namespace } });
  }, 120_000);
  afterAll(() => plane?.stop());

  test.each([
    ["minicni.yaml", "client"],
    ["minicni.yaml", "server"],
    ["test-pods.yaml", "client"],
    ["test-pods.yaml", "server"],
  ])("would apply %s (--dry-run=%s), without a warning", (file, where) => {
    const done = plane.kubectl("apply", "--validate=strict", `--dry-run=${where}`, "-f", `${K8S}/${file}`);
    expect(done.stderr).toBe("");
    expect(done.exitCode).toBe(0);
    const said = done.stdout.trim().split("\n");
    expect(said.length).toBe(parseDocuments(readFileSync(`${K8S}/${file}`, "utf8")).length);
    expect(said.filter((line) => !line.includes(`(${where === "client" ? "" : "server "}dry run)`))).toEqual(
      [],
    );
  });

  test("refuses one with a misspelled field", () => {
    const path = `${work}/misspelled.yaml`;
    writeFileSync(path, FLAT.replace("priorityClassName:", "priorityClas:"));
    const done = plane.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", path);
    expect(done.exitCode).not.toBe(0);
    expect(done.stderr).toContain("priorityClas");
  });

  test("gives the agent's account what it asks for, and no more", () => {
    plane.must("apply", "-f", `${K8S}/minicni.yaml`);
    const may = (...words: string[]) =>
      plane
        .kubectl("auth", "can-i", ...words, "--as=system:serviceaccount:kube-system:minicni")
        .stdout.trim();
    expect([may("list", "nodes"), may("watch", "nodes")]).toEqual(["yes", "yes"]);
    for (const [verb, what, ...more] of [
      ["get", "nodes"],
      ["update", "nodes"],
      ["patch", "nodes", "--subresource=status"],
      ["list", "pods", "--all-namespaces"],
      ["get", "secrets", "-n", "kube-system"],
    ])
      expect(`${verb} ${what} ${may(verb ?? "", what ?? "", ...more)}`).toBe(`${verb} ${what} no`);
  });
});

const SCHEDULER_FAULT = assetsFault("kube-controller-manager", "kube-scheduler");
if (SCHEDULER_FAULT !== "") process.stderr.write(`skipped: placing of pods: ${SCHEDULER_FAULT}\n`);

describe.skipIf(SCHEDULER_FAULT !== "")("the scheduler", () => {
  const CONTROL = "node-role.kubernetes.io/control-plane";
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await ControlPlane.start({ controllers: true });
    addNode("control", true);
  }, 120_000);
  afterAll(() => plane?.stop());

  /** A Node without a kubelet: it never gets ready, and has the taints that come of it. */
  function addNode(name: string, isControl: boolean): void {
    const labels = {
      "kubernetes.io/hostname": name,
      "kubernetes.io/os": "linux",
      ...(isControl && { [CONTROL]: "" }),
    };
    const spec = isControl ? { taints: [{ key: CONTROL, effect: "NoSchedule" }] } : {};
    plane.apply({ apiVersion: "v1", kind: "Node", metadata: { name, labels }, spec });
    const room = { cpu: "4", memory: "8Gi", pods: "110" };
    const status = JSON.stringify({ status: { capacity: room, allocatable: room } });
    plane.must("patch", "node", name, "--subresource=status", "--type=merge", "-p", status);
  }

  /** Where pods are, by a label or field; those that are nowhere yet too. */
  const places = (namespace: string, ...words: string[]): string[] =>
    plane
      .must(
        "-n",
        namespace,
        "get",
        "pods",
        ...words,
        "-o",
        "custom-columns=:metadata.name,:spec.nodeName",
        "--no-headers",
      )
      .split("\n")
      .map((line) => line.trim().split(/\s+/).join(" on "))
      .sort();

  const placed = (namespace: string, count: number, ...words: string[]) =>
    waitFor(
      `${count} pods are placed`,
      () => {
        const found = places(namespace, ...words);
        return found.length === count && !found.some((place) => place.endsWith("<none>"));
      },
      () => places(namespace, ...words).join("\n"),
      40_000,
    );

  test("puts all test pods on the node of a cluster of one, tainted as it is", async () => {
    plane.must("apply", "-f", `${K8S}/test-pods.yaml`);
    await placed("minicni-test", 5);
    expect(places("minicni-test").filter((place) => !place.endsWith(" on control"))).toEqual([]);
    // No kubelet ends them.
    plane.must("-n", "minicni-test", "delete", "pod", "--all", "--force", "--grace-period=0");
  });

  test("puts a pair on the control plane and a pair elsewhere, where there is an elsewhere", async () => {
    addNode("worker", false);
    plane.must("apply", "-f", `${K8S}/test-pods.yaml`);
    await placed("minicni-test", 5);
    expect(places("minicni-test")).toEqual([
      "first on control",
      "first-peer on control",
      "host on control",
      "second on worker",
      "second-peer on worker",
    ]);
  });

  test("puts an agent on every node, not ready and tainted as they are", async () => {
    plane.must("apply", "-f", `${K8S}/minicni.yaml`);
    const label = ["-l", "app.kubernetes.io/name=minicni"];
    await placed("kube-system", 2, ...label);
    expect(
      places("kube-system", ...label)
        .map((place) => place.replace(/.* on /, ""))
        .sort(),
    ).toEqual(["control", "worker"]);
  });
});
