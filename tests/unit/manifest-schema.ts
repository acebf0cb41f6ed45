import * as models from "@kubernetes/client-node/dist/gen/models/all.js";
import { DaemonSet } from "kubernetes-models/apps/v1/DaemonSet";
import { ClusterRole } from "kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRole";
import { ClusterRoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRoleBinding";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Namespace } from "kubernetes-models/v1/Namespace";
import { Pod } from "kubernetes-models/v1/Pod";
import { ServiceAccount } from "kubernetes-models/v1/ServiceAccount";

/** Kubernetes' OpenAPI schemas, compiled: required fields, types, formats, enumerations. Unknown fields pass them. */
const SCHEMAS: Record<string, new (data: never) => { validate(): void }> = {
  "v1/ConfigMap": ConfigMap,
  "v1/Namespace": Namespace,
  "v1/Pod": Pod,
  "v1/ServiceAccount": ServiceAccount,
  "apps/v1/DaemonSet": DaemonSet,
  "rbac.authorization.k8s.io/v1/ClusterRole": ClusterRole,
  "rbac.authorization.k8s.io/v1/ClusterRoleBinding": ClusterRoleBinding,
};

/** One field of a class that is generated from the same OpenAPI document. */
interface Attribute {
  readonly baseName: string;
  /** `string`, `IntOrString`, a class' name, `Array<T>`, `{ [key: string]: T; }`. */
  readonly type: string;
}

const SCALARS: Record<string, readonly string[]> = {
  string: ["string"],
  boolean: ["boolean"],
  number: ["number"],
  IntOrString: ["string", "number"],
  Date: ["string"],
};

/** The documents of a YAML text, empty ones left out. */
export function parseDocuments(text: string): unknown[] {
  const parsed = Bun.YAML.parse(text);
  return (Array.isArray(parsed) ? parsed : [parsed]).filter((document) => document !== null);
}

/** What keeps a document from being one of Kubernetes, each with its path; empty: nothing. Unknown fields are faults. */
export function schemaFaults(document: unknown): string[] {
  if (!isObject(document)) return ["no object"];
  const { apiVersion, kind } = document;
  const schema = SCHEMAS[`${apiVersion}/${kind}`];
  if (schema === undefined) return [`no schema for ${kind} of ${apiVersion}`];
  return [...compiledFaults(schema, document), ...typeFaults(`V1${kind}`, document, "")];
}

function compiledFaults(schema: new (data: never) => { validate(): void }, document: object): string[] {
  try {
    new schema(document as never).validate();
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** What of a value is not of the type. */
function typeFaults(type: string, value: unknown, path: string): string[] {
  if (value === null || type === "any") return [];
  const scalar = SCALARS[type];
  if (scalar !== undefined)
    return scalar.includes(typeof value) ? [] : [`${path}: ${typeof value} in place of ${type}`];
  const [, item] = /^Array<(.*)>$/.exec(type) ?? [];
  if (item !== undefined) {
    if (!Array.isArray(value)) return [`${path}: no list`];
    return value.flatMap((one, index) => typeFaults(item, one, `${path}/${index}`));
  }
  if (!isObject(value)) return [`${path}: no object`];
  const [, entry] = /^\{ \[key: string\]: (.*); \}$/.exec(type) ?? [];
  if (entry !== undefined)
    return Object.entries(value).flatMap(([key, one]) => typeFaults(entry, one, `${path}/${key}`));
  const attributes = attributesOf(type);
  if (attributes === null) return [`${path}: no class ${type}`];
  return Object.entries(value).flatMap(([key, one]) => {
    const attribute = attributes.find(({ baseName }) => baseName === key);
    return attribute === undefined
      ? [`${path}/${key}: unknown field`]
      : typeFaults(attribute.type, one, `${path}/${key}`);
  });
}

function attributesOf(type: string): readonly Attribute[] | null {
  const found = Object.entries(models).find(([name]) => name === type)?.[1];
  return typeof found === "function" && "getAttributeTypeMap" in found ? found.getAttributeTypeMap() : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
