import { ptr } from "bun:ffi";
import { HostError } from "./errors.ts";
import { createIfreq } from "./ifreq.ts";
import { libc } from "./libc.ts";

/** include/uapi/linux/{sockios,ethtool}.h. */
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GTXCSUM = 0x16;
const ETHTOOL_STXCSUM = 0x17;
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

/**
 * Whether a link of our namespace leaves checksums to hardware; null without such a link. The kernel's command covers
 * all checksum features that a device has at once (ethtool_get_feature_mask of net/ethtool/ioctl.c); a VXLAN device
 * has one, tx-checksum-ip-generic.
 */
export function observeTxChecksum(name: string): boolean | null {
  const value = Uint32Array.of(ETHTOOL_GTXCSUM, 0);
  return ethtool(name, value) ? value[1] !== 0 : null;
}

/** Lets a link leave checksums to hardware, or not. Throws HostError when the link does not do so afterwards. */
export function setTxChecksum(name: string, isOn: boolean): void {
  ethtool(name, Uint32Array.of(ETHTOOL_STXCSUM, isOn ? 1 : 0));
  // errno is out of reach by FFI; a feature that is fixed is refused, but one that is there already is fine.
  const state = observeTxChecksum(name);
  if (state === isOn) return;
  const message =
    state === null ? `Cannot find device "${name}"` : `${name} can't change its checksum offload`;
  throw new HostError(message, `see \`ethtool -k ${name}\``);
}

/** One ethtool command with its struct ethtool_value (command and value), in place; whether the kernel took it. */
function ethtool(name: string, value: Uint32Array): boolean {
  const request = createIfreq(name);
  if (request === null) return false;
  request.union.setBigUint64(0, BigInt(ptr(value)), true);
  const socket = libc().socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (socket < 0) throw new HostError("can't open an IPv4 socket", "allow AF_INET to this process");
  try {
    return libc().ioctl(socket, SIOCETHTOOL, ptr(request.bytes)) === 0;
  } finally {
    libc().close(socket);
  }
}
