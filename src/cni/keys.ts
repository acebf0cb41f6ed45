/**
 * JSON keys are matched without regard to case, as Go's encoding/json does: containerd sends `HostPort` and
 * `Servers` (go-cni's structs carry no tags). The exact spelling wins over another one beside it.
 */
const KNOWN = [
  "cniVersion name type bridge isGateway isDefaultGateway forceAddress ipMasq mtu hairpinMode promiscMode vlan",
  "vlanTrunk preserveDefaultVlan macspoofchk portIsolation disableContainerInterface enabledad ipam dns args",
  "capabilities runtimeConfig prevResult ranges subnet rangeStart rangeEnd gateway routes resolvConf dataDir",
  "dst gw advmss priority table scope nameservers domain search options ips mac ipRanges cni interfaces",
  "address interface sandbox version stateDir ipMasqBackend delegate deadline executor agentWait minID maxID id ip4 ip6 ip",
  "portMappings hostPort containerPort protocol hostIP snat masqAll markMasqBit externalSetMarkChain conditionsV4",
  "conditionsV6 backend hostPortLocalhost bandwidth ingressRate ingressBurst egressRate egressBurst promisc allmulti",
  "txQLen sysctl",
  "socketPath pciID containerID ifname cni.dev/valid-attachments cni.dev/attachments",
]
  .join(" ")
  .split(" ");

const CANONICAL = new Map(KNOWN.map((key) => [key.toLowerCase(), key]));

/** The same value with known keys in their canonical spelling, all the way down. */
export function canonicalKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonicalKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  const result: Record<string, unknown> = Object.create(null);
  for (const [key, inner] of entries) {
    const canonical = CANONICAL.get(key.toLowerCase()) ?? key;
    if (canonical !== key && Object.hasOwn(value, canonical)) continue;
    result[canonical] = canonicalKeys(inner);
  }
  return result;
}
