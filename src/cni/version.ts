import { CNI_CODE, CniError } from "./errors.ts";

/** Versions of the specification that requests may carry, oldest first. */
export const SUPPORTED_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
/** One of them. */
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

/** What a configuration without cniVersion speaks (libcni: pkg/types/create). */
export const OLDEST_VERSION: CniVersion = "0.1.0";
/** What we say before a configuration was read. */
export const LATEST_VERSION: CniVersion = "1.1.0";

/** The version of exactly this text; null for any other. */
export function findVersion(text: unknown): CniVersion | null {
  return SUPPORTED_VERSIONS.find((version) => version === text) ?? null;
}

/** Matches exact strings only (SPEC §1 "Version considerations"). Throws code 1 for any other, naming both sides. */
export function parseVersion(text: string): CniVersion {
  const known = findVersion(text);
  if (known !== null) return known;
  throw new CniError(
    CNI_CODE.incompatibleVersion,
    "incompatible CNI versions",
    `config is "${text}", plugin supports ${JSON.stringify(SUPPORTED_VERSIONS)}`,
  );
}

/** Whether `version` is at least `wanted` in the order of {@link SUPPORTED_VERSIONS}. */
export function isAtLeast(version: CniVersion, wanted: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(wanted);
}

/** The answer to VERSION; `asked` is the request's own cniVersion where one we speak came in time (SPEC §5 "Version"). */
export function formatVersions(asked: CniVersion | null): string {
  return JSON.stringify({ cniVersion: asked ?? LATEST_VERSION, supportedVersions: SUPPORTED_VERSIONS });
}
