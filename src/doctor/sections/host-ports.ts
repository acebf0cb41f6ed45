import * as v from "valibot";

const family = v.picklist([4, 6]);
const protocol = v.picklist(["tcp", "udp", "sctp"]);

/** Host ports as pods have them, as rules have them, and who else has rules for the same. */
export const HostPortsSchema = v.object({
  /** An agent works here, which puts rules back and takes those of pods that are gone. */
  hasAgent: v.boolean(),
  claims: v.array(
    v.object({
      network: v.string(),
      containerId: v.string(),
      ifname: v.string(),
      backend: v.picklist(["iptables", "nftables"]),
      ports: v.array(
        v.object({
          protocol,
          hostPort: v.number(),
          containerPort: v.number(),
          /** The address of the node that it is for; null: all. */
          hostIp: v.nullable(v.string()),
        }),
      ),
      /** Addresses of the pod. */
      targets: v.array(v.string()),
      /** `unlisted`: by the attachment's record, though the list of claims lacks it; `gone`: the pod is, its claim is not. */
      state: v.picklist(["live", "gone", "unlisted"]),
    }),
  ),
  /** What would have to be run for the rules to be as the claims say, a line each. */
  changes: v.array(
    v.object({ program: v.string(), table: v.picklist(["nat", "raw", ""]), line: v.string() }),
  ),
  /** Bridges whose pods should be reached at 127.0.0.1, and can't be. */
  shutLocalnets: v.array(v.string()),
  /** Addresses of pods that are gone, to which rules may lead still. */
  staleTargets: v.array(v.string()),
  /** Rules of the portmap plugin. */
  others: v.array(
    v.object({
      program: v.string(),
      family,
      chain: v.string(),
      protocol,
      hostPort: v.number(),
      hostIp: v.nullable(v.string()),
      /** `10.22.0.5:80`. */
      to: v.string(),
      rule: v.string(),
      /** Whether packets come by it before ours; null: not known. */
      isBefore: v.nullable(v.boolean()),
    }),
  ),
  /** What could not be looked at. */
  unseen: v.array(v.string()),
});
export type HostPorts = v.InferOutput<typeof HostPortsSchema>;
