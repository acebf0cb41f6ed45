import type { NetConf } from "../../cni/config.ts";
import { writtenSysctls } from "../../cni/tuning.ts";
import type { Host } from "../../host/machine.ts";

/** What the DaemonSet mounts of the node, besides the folder of our state. */
const MOUNTED = "/var/lib/cni";

/**
 * Whether a call needs files or programs of the node that an agent in a container has not, or has of its own: an address
 * store outside of what is mounted, resolv.conf, the node's own iptables and nft (which of the two iptables holds the rules
 * is for the node to say), the list of sysctls that may be set, iproute2, which takes the sandbox by its path.
 */
export function needsOwnFiles({ raw, dataDir }: NetConf, host: Host): boolean {
  const isMounted = `${dataDir}/`.startsWith(`${MOUNTED}/`) && host.isMountPoint(MOUNTED);
  return (
    !isMounted ||
    Boolean(raw.ipam?.resolvConf) ||
    raw.ipMasq === true ||
    raw.macspoofchk === true ||
    writtenSysctls(raw).length > 0 ||
    raw.executor === "iproute2"
  );
}
