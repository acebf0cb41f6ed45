import { createHash } from "node:crypto";
import { BUILT_IN } from "./licences.ts";

/** A part of what is released, as CycloneDX 1.5 has it; of npm's own ones more keys pass through. */
interface Component {
  readonly "bom-ref": string;
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly scope?: string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

interface Dependency {
  readonly ref: string;
  readonly dependsOn?: readonly string[];
}

/** A bill of materials, https://cyclonedx.org/docs/1.5/json/. */
export interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly metadata: { readonly timestamp: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly Dependency[];
}

/** A Debian package of the image; `architecture` may be `all`. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** Reads packages.txt of the image: a name, a version and an architecture a line. */
export function parsePackages(text: string): PackageVersion[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [name = "", version = "", architecture = ""] = line.split(" ");
      return { name, version, architecture };
    });
}

/**
 * npm's bill of the lock file, with the Debian packages of the image added, and without what differs from one run to the
 * next: the time becomes `created` (RFC 3339), the serial number one made of the content (a UUID of version 8, RFC 9562),
 * the name of the checkout's folder the project's own. `distro`: whose packages these are, such as `debian-12`. What is
 * built into the binary is no part of development alone, whatever the lock file has it for.
 */
export function completeSbom(
  npm: Sbom,
  project: string,
  packages: readonly PackageVersion[],
  distro: string,
  created: string,
): Sbom {
  const root = { ...npm.metadata.component, type: "application", name: project };
  const described = packages.map((each) => describePackage(each, distro));
  // Those of all architectures are in each image.
  const debian = [...new Map(described.map((one) => [one.purl, one])).values()];
  const complete = {
    ...npm,
    serialNumber: "",
    metadata: { ...npm.metadata, timestamp: created, component: root },
    components: [...npm.components.map(asShipped), ...debian],
    dependencies: npm.dependencies.map((each) =>
      each.ref === root["bom-ref"]
        ? { ...each, dependsOn: [...(each.dependsOn ?? []), ...debian.map((one) => one["bom-ref"])] }
        : each,
    ),
  };
  return { ...complete, serialNumber: `urn:uuid:${uuidOf(JSON.stringify(complete))}` };
}

/** What is wrong with a bill for a lock file: what it does not list, and references to nothing. Empty when all is well. */
export function sbomFaults(
  sbom: Sbom,
  lock: { readonly packages: Readonly<Record<string, LockedPackage>> },
): string[] {
  const refs = new Set([sbom.metadata.component["bom-ref"], ...sbom.components.map((one) => one["bom-ref"])]);
  const purls = new Set(sbom.components.map(({ purl }) => purl));
  const locked = Object.entries(lock.packages)
    .filter(([path]) => path !== "")
    .map(
      ([path, { version }]) =>
        `pkg:npm/${path.replace(/^.*node_modules\//, "").replace("@", "%40")}@${version}`,
    );
  const mentioned = sbom.dependencies.flatMap(({ ref, dependsOn = [] }) => [ref, ...dependsOn]);
  return [
    ...(sbom.bomFormat === "CycloneDX" ? [] : [`bomFormat ${sbom.bomFormat}`]),
    ...(/^1\.[5-9]$/.test(sbom.specVersion) ? [] : [`specVersion ${sbom.specVersion}`]),
    ...(/^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(sbom.serialNumber)
      ? []
      : ["serialNumber"]),
    ...(refs.size === sbom.components.length + 1 ? [] : ["a bom-ref is there twice"]),
    ...locked.filter((purl) => !purls.has(purl)).map((purl) => `not listed: ${purl}`),
    ...mentioned.filter((ref) => !refs.has(ref)).map((ref) => `nothing is called ${ref}`),
  ];
}

interface LockedPackage {
  readonly version?: string;
}

/** A scanner that passes over what is for development must see the runtime all the same. */
function asShipped(component: Component): Component {
  if (!BUILT_IN.some((pattern) => pattern.test(component.name))) return component;
  const properties = component.properties?.filter(({ name }) => name !== "cdx:npm:package:development");
  return { ...component, scope: "required", ...(properties && { properties }) };
}

function describePackage({ name, version, architecture }: PackageVersion, distro: string): Component {
  // Purl: what is not plain in a version, as the colon of an epoch, is percent-encoded.
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}&distro=${distro}`;
  return { "bom-ref": purl, type: "library", name, version, purl };
}

function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return parts.join("-");
}
