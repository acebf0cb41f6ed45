import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseNetConf } from "../../src/cni/config.ts";
import { type AgentSettings, parseSettings } from "../../src/entry/agent/settings.ts";
import { createHost } from "../../src/host/linux.ts";
import { parseListen } from "../../src/host/serve.ts";
import { formatAddress } from "../../src/net/address.ts";
import { parseDocuments, schemaFaults } from "./manifest-schema.ts";

const ROOT = `${import.meta.dir}/../..`;
const read = (path: string): string => readFileSync(`${ROOT}/${path}`, "utf8");
const FLAT = read("k8s/minicni.yaml");

interface Probe {
  readonly httpGet: { readonly host: string; readonly port: number; readonly path: string };
}
interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly resources: object;
  readonly securityContext: { readonly capabilities: { readonly drop: string[]; readonly add?: string[] } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
}
interface PodSpec {
  readonly initContainers: [Container];
  readonly containers: [Container];
  readonly volumes: readonly { readonly name: string; readonly hostPath: { readonly path: string } }[];
}
/** What these tests read of an object, once the schema has said that it is one. */
interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data: Record<string, string>;
  readonly rules: readonly object[];
  readonly spec: { readonly template: { readonly spec: PodSpec } };
}

/** A fresh copy of the object of that kind. */
function objectOf(kind: string, text = FLAT): KubernetesObject {
  for (const document of parseDocuments(text)) {
    const faults = schemaFaults(document);
    if (faults.length > 0) throw new Error(faults.join("\n"));
    const object = document as KubernetesObject;
    if (object.kind === kind) return object;
  }
  throw new Error(`no ${kind}`);
}

const pod = () => objectOf("DaemonSet").spec.template.spec;
/** All that is written about a variable where the agent reads it. */
const VARIABLES = [
  ...new Set(
    [...read("src/entry/agent/settings-options.ts").matchAll(/"([A-Z]+(?:_[A-Z]+)*)"/g)].flatMap(
      ([, name]) => name ?? [],
    ),
  ),
];
/** Variables of the agent that are not for the ConfigMap. */
const ELSEWHERE = [
  "KUBECONFIG", // outside a pod
  "MINICNI_NODES", // outside a pod
  "NODE_NAME", // from the Pod
  "MINICNI_STATE_DIR", // fixed by the mounts, as the next two are
  "MINICNI_DATA_DIR",
  "MINICNI_CONF_DIR",
];

const saved = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
  Object.assign(process.env, saved);
});

/** The settings of an agent in this environment. */
async function settingsIn(environment: Record<string, string>): Promise<AgentSettings> {
  for (const name of VARIABLES) delete process.env[name];
  Object.assign(process.env, environment);
  const settings = await parseSettings(["--node", "node1"], createHost(), () => undefined);
  if (typeof settings === "number") throw new Error(`refused with exit code ${settings}`);
  return settings;
}

describe("k8s/minicni.yaml", () => {
  test("is what is made from the base", () => {
    const made = Bun.spawnSync({ cmd: [`${ROOT}/k8s/flatten`, `${ROOT}/k8s/base`] });
    expect(made.exitCode).toBe(0);
    expect(FLAT).toBe(made.stdout.toString());
    expect(parseDocuments(FLAT).map((document) => Object(document).kind)).toEqual([
      "ServiceAccount",
      "ClusterRole",
      "ClusterRoleBinding",
      "ConfigMap",
      "DaemonSet",
    ]);
  });

  test("runs the image of this version, in both containers", () => {
    const { version } = JSON.parse(read("package.json"));
    const { initContainers, containers } = pod();
    expect([...initContainers, ...containers].map(({ image, args }) => [image, ...args])).toEqual([
      [`localhost/minicni:${version}`, "install"],
      [`localhost/minicni:${version}`, "agent"],
    ]);
  });

  test("asks for the same in both containers, so that none decides alone about the pod's class", () => {
    const [install] = pod().initContainers;
    const [agent] = pod().containers;
    expect(install.resources).toEqual(agent.resources);
  });

  test("gives four capabilities to the agent, one to what copies a file, and is not privileged", () => {
    const [install] = pod().initContainers;
    const [agent] = pod().containers;
    expect(install.securityContext.capabilities).toEqual({ drop: ["ALL"], add: ["DAC_OVERRIDE"] });
    expect(agent.securityContext.capabilities).toEqual({
      drop: ["ALL"],
      add: ["DAC_OVERRIDE", "NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
    });
    expect(FLAT).not.toMatch(/privileged: true|hostPID|hostIPC/);
  });
});

describe("the ConfigMap", () => {
  test("has every variable of the agent but those that the pod fixes, and no other", () => {
    expect(VARIABLES.length).toBeGreaterThan(15);
    expect(Object.keys(objectOf("ConfigMap").data).sort()).toEqual(
      VARIABLES.filter((name) => !ELSEWHERE.includes(name)).sort(),
    );
  });

  test("is taken by the agent, and says nothing but the defaults", async () => {
    expect(await settingsIn(objectOf("ConfigMap").data)).toEqual(await settingsIn({}));
  });

  test("and every variable of the agent is in the reference of settings", () => {
    const documented = read("docs/settings.md");
    expect(VARIABLES.filter((name) => !documented.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("the pod fits the agent:", () => {
  test("what it works on is mounted under the same path", async () => {
    const { stateDir, dataDir, confDir } = await settingsIn({});
    const { dataDir: reservations } = parseNetConf({ cniVersion: "1.1.0", name: "minicni", type: "minicni" });
    const { volumes, containers } = pod();
    const [agent] = containers;
    const mounted = agent.volumeMounts.map(({ mountPath, name }) => {
      const path = volumes.find((volume) => volume.name === name)?.hostPath.path;
      expect(`${name} ${mountPath}`).toBe(
        `${name} ${mountPath.startsWith("/host/") ? `/host${path}` : path}`,
      );
      return mountPath;
    });
    const needed = [
      stateDir,
      dataDir,
      confDir,
      reservations,
      "/run/netns",
      "/opt/cni/bin",
      "/run/xtables.lock",
    ];
    expect(needed.filter((path) => !mounted.some((mount) => `${path}/`.startsWith(`${mount}/`)))).toEqual([]);
    const variable = agent.env?.find(({ name }) => name === "MINICNI_PROC_SYS");
    expect(mounted).toContain(`${variable?.value}/net`);
  });

  test("probes ask where it listens", () => {
    const listen = parseListen(objectOf("ConfigMap").data.MINICNI_LISTEN ?? "");
    if (listen === null || listen === "off" || listen.host === null) throw new Error("no address to ask");
    const where = { host: formatAddress(listen.host), port: listen.port };
    const [agent] = pod().containers;
    expect(agent.startupProbe.httpGet).toEqual({ ...where, path: "/healthz" });
    expect(agent.livenessProbe.httpGet).toEqual({ ...where, path: "/healthz" });
    expect(agent.readinessProbe.httpGet).toEqual({ ...where, path: "/readyz" });
  });

  test("the role allows what is asked of the API, and no more", () => {
    // NetworkPolicies are the doctor's question, which a person asks with an access of his own; the agent's role says no.
    const files = [...new Bun.Glob("src/kube/*.ts").scanSync({ cwd: ROOT })];
    const sources = files
      .filter((path) => path !== "src/kube/policies.ts")
      .map(read)
      .join("\n");
    const paths = sources.match(/["'`]\/apis?\/[^"'`]*/g)?.map((path) => path.slice(1));
    expect(paths).toEqual(["/api/v1/nodes"]);
    expect(sources.match(/method: "[A-Z]+"(?! \|)/g)?.sort()).toEqual([
      'method: "GET"', // list
      'method: "GET"', // watch
      'method: "PATCH"', // only with MINICNI_NODE_CONDITION
    ]);
    expect(objectOf("ClusterRole").rules).toEqual([
      { apiGroups: [""], resources: ["nodes"], verbs: ["list", "watch"] },
    ]);
  });
});

describe("k8s/test-pods.yaml", () => {
  const pods = () => parseDocuments(read("k8s/test-pods.yaml")).map((document) => JSON.stringify(document));

  test("asks for no label that a node does not have by itself", () => {
    const keys = pods().flatMap((text) =>
      [...text.matchAll(/"(?:key|topologyKey)":"([^"]+)"/g)].map(([, key]) => key),
    );
    expect(new Set(keys)).toEqual(
      new Set(["node-role.kubernetes.io/control-plane", "kubernetes.io/hostname"]),
    );
    expect(pods().join()).not.toContain("nodeSelector");
  });

  test("has a pod of the node's own network, and names no registry", () => {
    expect(pods().filter((text) => text.includes('"hostNetwork":true')).length).toBe(1);
    const images = pods().flatMap((text) =>
      [...text.matchAll(/"image":"([^"]+)"/g)].map(([, image]) => image),
    );
    expect(images.length).toBe(5);
    expect(images.filter((image) => image?.includes("/"))).toEqual([]);
  });
});
