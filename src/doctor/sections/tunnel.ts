import * as v from "valibot";

const family = v.picklist([4, 6]);
const vxlan = { vni: v.number(), port: v.number(), local: v.nullable(v.string()) };

/** Commands that would make something as it should be: how many, and the first of them. */
const MissingSchema = v.object({ count: v.number(), commands: v.array(v.string()) });

/** The VXLAN devices that lead to peers, with what they know and whether packets come through. */
export const TunnelSchema = v.object({
  backend: v.picklist(["auto", "host-gw", "vxlan"]),
  /** Whether an agent has ever worked here: without one there is no device. */
  hasAgent: v.boolean(),
  /** The list of Nodes is one of now. */
  isLive: v.boolean(),
  devices: v.array(
    v.object({
      name: v.string(),
      /** Of the outer packets. */
      family,
      /** Pod CIDRs of peers behind it. */
      peers: v.number(),
      desired: v.object({ ...vxlan, mac: v.string(), mtu: v.number() }),
      observed: v.nullable(
        v.object({
          kind: v.string(),
          isUp: v.boolean(),
          mac: v.string(),
          mtu: v.number(),
          vxlan: v.nullable(v.object(vxlan)),
          addresses: v.array(v.string()),
          /** Whether it leaves checksums to hardware; null: can't be known. */
          txChecksum: v.nullable(v.boolean()),
        }),
      ),
      /** Why the name can't be used. */
      conflict: v.nullable(v.string()),
      steps: MissingSchema,
      forwarding: MissingSchema,
      neighbours: MissingSchema,
      /** Entries of peers that are gone. */
      stale: MissingSchema,
    }),
  ),
  /** VXLAN devices that are not ours. */
  others: v.array(v.object({ name: v.string(), isUp: v.boolean(), ...vxlan })),
  /** Who has the UDP port; `program` null: the kernel, or one that can't be seen from here. */
  sockets: v.array(v.object({ family, program: v.nullable(v.string()) })),
  probes: v.array(
    v.object({
      peer: v.string(),
      dev: v.string(),
      nodeAddress: v.string(),
      tunnelAddress: v.string(),
      /** Whether its kernel answered a datagram: to the node address, and through the tunnel. */
      node: v.boolean(),
      tunnel: v.boolean(),
      /** Through the tunnel, one whose checksum the kernel itself had to finish. */
      software: v.boolean(),
    }),
  ),
});
export type Tunnel = v.InferOutput<typeof TunnelSchema>;
