/** The CNI specification's error codes (SPEC §5 "Error"), and the two that only its Go library uses. */
export const CNI_CODE = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfig: 7,
  /** `ErrInvalidNetNS` of the Go library. */
  invalidNetns: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  /** Not available, and the containers that are there may be cut off. */
  limited: 51,
  /** `ErrInternal` of the Go library: no code fits. */
  internal: 999,
} as const;

/** A failure as the runtime sees it: one of the specification's codes, what failed, and actual against wanted. */
export class CniError extends Error {
  override readonly name = "CniError";
  constructor(
    readonly code: number,
    message: string,
    readonly details = "",
  ) {
    super(message);
  }
}

/** The error document of SPEC §5 as one line of JSON. */
export function formatError(cniVersion: string, error: CniError): string {
  return JSON.stringify({ cniVersion, code: error.code, msg: error.message, details: error.details });
}
