import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { waitFor } from "../kernel/agent.ts";
import { NO_ATTACHMENTS } from "./attachments.ts";
import { BUSYBOX_IMAGE } from "./image.ts";
import { ControlPlane } from "./kube-assets.ts";
import { KubeletNode, kubeletFault } from "./kubelet.ts";
import { allDone } from "./machine.ts";

setDefaultTimeout(180_000);

const FAULT = kubeletFault();
if (FAULT !== "") process.stderr.write(`skipped: kubelets of a real cluster: ${FAULT}\n`);

const MANIFEST = `${import.meta.dir}/../../k8s/minicni.yaml`;
const PATIENCE_MS = 60_000;
/** Seconds, one echo each: longer than a rolling restart of two nodes takes. */
const ECHOES = 40;

describe.skipIf(FAULT !== "")("kubelets of a real cluster", () => {
  let plane: ControlPlane;
  const nodes: KubeletNode[] = [];
  const logs = () => [plane, ...nodes].map((part) => part.logs()).join("\n");
  const until = (what: string, isSo: () => boolean) => waitFor(what, isSo, logs, PATIENCE_MS);
  const ready = (node: KubeletNode) =>
    plane.field(`node/${node.name}`, '.status.conditions[?(@.type=="Ready")].status');
  const phase = (pod: string) => plane.field(`pod/${pod}`, ".status.phase");
  const address = (pod: string) => plane.field(`pod/${pod}`, ".status.podIP");

  /** A pod on the node with this number, without a scheduler's say. */
  function run(name: string, number: number, command: readonly string[]): void {
    const container = { name, image: BUSYBOX_IMAGE, imagePullPolicy: "Never", command };
    const spec = {
      nodeName: `node${number}`,
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      tolerations: [{ operator: "Exists" }],
      containers: [container],
    };
    plane.apply({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec });
  }

  beforeAll(async () => {
    plane = await ControlPlane.start({ controllers: true });
    for (const number of [1, 2]) nodes.push(await KubeletNode.start(plane, number));
  });
  afterAll(async () => {
    try {
      await allDone(nodes.map((node) => node.stop()));
    } finally {
      await plane?.stop();
    }
  });

  test("make their nodes Ready when the manifest is applied, and not before", async () => {
    expect(nodes.map(ready)).not.toContain("True");
    plane.must("apply", "-f", MANIFEST);
    await until("both nodes are Ready", () => nodes.every((node) => ready(node) === "True"));
    await until(
      "both agents are",
      () => plane.field("daemonset/minicni", ".status.numberReady", "kube-system") === "2",
    );
  });

  test("run pods that reach each other across nodes", async () => {
    await until(
      "the default account",
      () => plane.kubectl("get", "serviceaccount", "default").exitCode === 0,
    );
    run("one", 1, ["sleep", "600"]);
    run("two", 2, ["sleep", "600"]);
    await until("both run", () => phase("one") === "Running" && phase("two") === "Running");
    expect(plane.must("exec", "one", "--", "ping", "-c", "2", address("two"))).toContain(" 0% packet loss");
    expect(plane.must("exec", "two", "--", "ping", "-c", "2", address("one"))).toContain(" 0% packet loss");
  });

  test("lose no packet while the DaemonSet is restarted", async () => {
    run("echo", 1, ["ping", "-c", String(ECHOES), address("two")]);
    await until("echoes come", () => plane.kubectl("logs", "echo").stdout.includes("bytes from"));
    const generation = () =>
      plane.field("daemonset/minicni", ".status.updatedNumberScheduled", "kube-system") === "2" &&
      plane.field("daemonset/minicni", ".status.numberAvailable", "kube-system") === "2" &&
      plane.field("daemonset/minicni", ".status.observedGeneration", "kube-system") ===
        plane.field("daemonset/minicni", ".metadata.generation", "kube-system");
    const before = plane.field("daemonset/minicni", ".metadata.generation", "kube-system");
    plane.must("-n", "kube-system", "rollout", "restart", "daemonset/minicni");
    expect(plane.field("daemonset/minicni", ".metadata.generation", "kube-system")).not.toBe(before);
    await until("both agents are others", generation);
    // Else the restart could have gone on after the last echo.
    expect(phase("echo")).toBe("Running");
    await until("the last echo", () => phase("echo") === "Succeeded");
    expect(plane.must("logs", "echo")).toContain(`${ECHOES} packets received, 0% packet loss`);
  });

  test("leave nothing of pods that are deleted", async () => {
    plane.must("delete", "pod", "one", "two", "echo", "--wait=false");
    // Without a grace period the API forgets them before the kubelet has ended them.
    const nothing = JSON.stringify(NO_ATTACHMENTS);
    const left = () => nodes.map(({ machine }) => JSON.stringify(machine.attachments("minicni")));
    await until("nothing is left", () => left().every((found) => found === nothing));
  });

  test("lose the network by delete and uninstall, not by delete alone", async () => {
    plane.must("delete", "-f", MANIFEST, "--wait=false");
    await until(
      "no agent is left",
      () => plane.must("-n", "kube-system", "get", "pods", "-o", "name") === "",
    );
    expect(nodes.map(ready)).toEqual(["True", "True"]);
    for (const { machine } of nodes) {
      machine.must(["/opt/cni/bin/minicni", "uninstall"]);
      expect(machine.must(["ip", "route", "show", "proto", "157"])).toBe("");
      expect(machine.must(["iptables-save"])).not.toContain("MINICNI");
    }
    await until("no node is Ready", () => nodes.every((node) => ready(node) !== "True"));
  });
});
