import { CNI_CODE, CniError } from "../cni/errors.ts";
import { BusyError, HostError, messageOf, OverdueError } from "../host/errors.ts";
import { AllocationError } from "../ipam/allocate.ts";
import { InvalidRange } from "../ipam/range.ts";
import { BridgeConflict } from "../topology/bridge.ts";

/** The one place where errors of every room become the specification's codes. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof BusyError || error instanceof OverdueError)
    return new CniError(CNI_CODE.tryAgainLater, error.message, error.hint);
  if (error instanceof InvalidRange)
    return new CniError(CNI_CODE.invalidConfig, error.message, "see ipam in the network configuration");
  if (error instanceof AllocationError) {
    const code = error.isExhausted ? CNI_CODE.tryAgainLater : CNI_CODE.invalidConfig;
    return new CniError(code, error.message, error.hint);
  }
  if (error instanceof BridgeConflict) {
    return new CniError(
      CNI_CODE.invalidConfig,
      error.message,
      "choose another bridge, remove what is in the way, or set forceAddress",
    );
  }
  if (error instanceof HostError) return new CniError(CNI_CODE.internal, error.message, error.hint);
  if (error instanceof Error && "code" in error && "syscall" in error) {
    return new CniError(CNI_CODE.io, error.message, "see that the folder is writable and the disk has room");
  }
  return new CniError(CNI_CODE.internal, messageOf(error), "this is a fault of minicni");
}
