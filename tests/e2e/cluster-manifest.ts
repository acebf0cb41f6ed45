import { readFileSync } from "node:fs";
import * as v from "valibot";

const MANIFEST = `${import.meta.dir}/../../k8s/minicni.yaml`;

const Words = v.record(v.string(), v.string());
const Quantities = v.strictObject({ requests: v.optional(Words), limits: v.optional(Words) });

const ContainerSecurity = v.strictObject({
  allowPrivilegeEscalation: v.optional(v.boolean()),
  readOnlyRootFilesystem: v.optional(v.boolean()),
  runAsUser: v.optional(v.number()),
  runAsGroup: v.optional(v.number()),
  capabilities: v.optional(
    v.strictObject({ add: v.optional(v.array(v.string()), []), drop: v.optional(v.array(v.string()), []) }),
  ),
});

const Probe = v.strictObject({
  httpGet: v.strictObject({ host: v.string(), port: v.number(), path: v.string() }),
  periodSeconds: v.optional(v.number(), 10),
  timeoutSeconds: v.optional(v.number(), 1),
  failureThreshold: v.optional(v.number(), 3),
  successThreshold: v.optional(v.literal(1)),
  initialDelaySeconds: v.optional(v.number(), 0),
});

const Variable = v.union([
  v.strictObject({ name: v.string(), value: v.string() }),
  v.strictObject({
    name: v.string(),
    valueFrom: v.strictObject({
      fieldRef: v.strictObject({
        fieldPath: v.picklist(["spec.nodeName", "status.hostIP", "metadata.name"]),
      }),
    }),
  }),
]);

const Container = v.strictObject({
  name: v.string(),
  image: v.string(),
  imagePullPolicy: v.picklist(["IfNotPresent", "Never"]),
  command: v.optional(v.array(v.string())),
  args: v.optional(v.array(v.string())),
  env: v.optional(v.array(Variable), []),
  envFrom: v.optional(v.array(v.strictObject({ configMapRef: v.strictObject({ name: v.string() }) })), []),
  resources: v.optional(Quantities),
  securityContext: v.optional(ContainerSecurity, {}),
  startupProbe: v.optional(Probe),
  livenessProbe: v.optional(Probe),
  readinessProbe: v.optional(Probe),
  terminationMessagePolicy: v.optional(v.string()),
  volumeMounts: v.optional(
    v.array(
      v.strictObject({
        name: v.string(),
        mountPath: v.string(),
        readOnly: v.optional(v.boolean(), false),
        mountPropagation: v.optional(v.picklist(["None", "HostToContainer", "Bidirectional"]), "None"),
      }),
    ),
    [],
  ),
});

const Volume = v.strictObject({
  name: v.string(),
  hostPath: v.strictObject({
    path: v.string(),
    type: v.picklist(["DirectoryOrCreate", "Directory", "FileOrCreate", "File"]),
  }),
});

const PodSpec = v.strictObject({
  // Where and when a pod is placed: here every node runs it.
  nodeSelector: v.optional(Words),
  tolerations: v.optional(v.array(v.unknown())),
  priorityClassName: v.optional(v.string()),
  hostNetwork: v.literal(true),
  dnsPolicy: v.picklist(["Default", "ClusterFirstWithHostNet"]),
  enableServiceLinks: v.optional(v.boolean()),
  automountServiceAccountToken: v.optional(v.literal(true)),
  serviceAccountName: v.string(),
  terminationGracePeriodSeconds: v.number(),
  securityContext: v.strictObject({
    runAsUser: v.optional(v.number()),
    runAsGroup: v.optional(v.number()),
    seccompProfile: v.strictObject({ type: v.picklist(["RuntimeDefault", "Unconfined"]) }),
    seLinuxOptions: v.optional(v.unknown()), // only where SELinux is on
  }),
  initContainers: v.optional(v.array(Container), []),
  containers: v.array(Container),
  volumes: v.array(Volume),
});

const DaemonSet = v.object({
  kind: v.literal("DaemonSet"),
  metadata: v.object({ name: v.string(), namespace: v.string() }),
  spec: v.object({
    template: v.strictObject({
      metadata: v.object({ labels: Words, annotations: v.optional(Words) }),
      spec: PodSpec,
    }),
  }),
});
const ConfigMap = v.object({
  kind: v.literal("ConfigMap"),
  metadata: v.object({ name: v.string(), namespace: v.string() }),
  data: Words,
});

/** A container of the manifest. */
export type ManifestContainer = v.InferOutput<typeof Container>;
/** A volume of the manifest. */
export type ManifestVolume = v.InferOutput<typeof Volume>;
/** One probe of a container. */
export type ManifestProbe = v.InferOutput<typeof Probe>;

/** What the manifest says of the pod on each node. */
export interface Manifest {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly pod: v.InferOutput<typeof PodSpec>;
  /** By name. */
  readonly configMaps: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/**
 * Reads k8s/minicni.yaml as `kubectl apply -f` would, with these settings put into its ConfigMap. Throws on whatever the
 * pod has that the kubelet of these tests doesn't know: nothing of it may be passed over.
 */
export function readManifest(
  settings: Readonly<Record<string, string>> = {},
  path = manifestPath(),
): Manifest {
  const read = Bun.YAML.parse(readFileSync(path, "utf8"));
  const documents = Array.isArray(read) ? read : [read];
  const of = (kind: string): unknown[] => documents.filter((document) => Object(document).kind === kind);
  const [daemonSet] = of("DaemonSet").map((document) => v.parse(DaemonSet, document));
  if (daemonSet === undefined) throw new Error(`${path}: no DaemonSet`);
  const { metadata, spec } = daemonSet;
  const configMaps = new Map<string, Record<string, string>>();
  for (const document of of("ConfigMap")) {
    const { metadata: own, data } = v.parse(ConfigMap, document);
    configMaps.set(own.name, { ...data, ...settings });
  }
  return {
    ...metadata,
    labels: spec.template.metadata.labels,
    annotations: spec.template.metadata.annotations ?? {},
    pod: spec.template.spec,
    configMaps,
  };
}

function manifestPath(): string {
  return process.env.MINICNI_MANIFEST ?? MANIFEST;
}
