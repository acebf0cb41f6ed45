import * as v from "valibot";

const family = v.picklist([4, 6]);

/** Bytes that fit into each part of the way of a pod's packet. */
export const MtuSchema = v.object({
  /** What the agent published for pods; null: nothing. */
  published: v.nullable(v.number()),
  /** The agent's setting; 0: it detects. */
  chosen: v.number(),
  /** Links that hold the node addresses. */
  uplinks: v.array(v.object({ family, name: v.string(), mtu: v.number() })),
  /** `family`: of the outer packets; `desired`: as the agent would make it; `peers`: pod CIDRs behind it. */
  tunnels: v.array(
    v.object({
      name: v.string(),
      family,
      mtu: v.nullable(v.number()),
      desired: v.number(),
      peers: v.number(),
    }),
  ),
  /** Our bridge; null: there is none yet. */
  bridge: v.nullable(v.object({ name: v.string(), mtu: v.number() })),
  attachments: v.array(
    v.object({
      /** `containerID/ifname`. */
      key: v.string(),
      netns: v.string(),
      ifname: v.string(),
      hostVeth: v.string(),
      /** Null: the link is not there. */
      hostMtu: v.nullable(v.number()),
      /** Null: could not be seen. */
      podMtu: v.nullable(v.number()),
      /** An MTU of its own, by its configuration or `args.cni.mtu`. */
      isOwn: v.boolean(),
    }),
  ),
  /** Packets that nobody may cut, to node addresses; `small`: of 100 bytes or so. Empty: none was sent. */
  probes: v.array(
    v.object({
      peer: v.string(),
      address: v.string(),
      dev: v.string(),
      bytes: v.number(),
      isTunnelled: v.boolean(),
      small: v.picklist(["answered", "too big", "silent", "unsent"]),
      large: v.picklist(["answered", "too big", "silent", "unsent"]),
    }),
  ),
});
export type Mtu = v.InferOutput<typeof MtuSchema>;
