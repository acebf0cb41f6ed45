import { CNI_CODE, CniError } from "./errors.ts";

/** Versions of the specification that requests may carry, oldest first. */
export const SUPPORTED_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

const LATEST: CniVersion = "1.1.0";

/** Matches exact strings only (SPEC §1 "Version considerations"). Throws code 1 for any other, naming both sides. */
export function parseVersion(text: string): CniVersion {
  const known = SUPPORTED_VERSIONS.find((version) => version === text);
  if (known !== undefined) return known;
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

/** The answer to VERSION; `asked` is the request's own cniVersion where there was one (SPEC §5 "Version"). */
export function formatVersions(asked: string | null): string {
  return JSON.stringify({ cniVersion: asked ?? LATEST, supportedVersions: SUPPORTED_VERSIONS });
}
