import * as v from "valibot";

const PodSchema = v.object({ namespace: v.string(), name: v.string() });

const RangeSchema = v.object({
  subnet: v.string(),
  first: v.string(),
  last: v.string(),
  gateway: v.string(),
});

/** Ranges of which each attachment gets one address. */
const SetSchema = v.object({
  /** `10.1.2.1-10.1.2.254`; several ranges joined by commas. */
  text: v.string(),
  ranges: v.array(RangeSchema),
  /** The address given last; null: none was. */
  cursor: v.nullable(v.string()),
  /** The address that the next attachment gets; null: there is none left. */
  next: v.nullable(v.string()),
  held: v.number(),
  /** Kept for gateways. */
  reserved: v.number(),
  /** What can be given still without asking for it, at most 2^20. */
  free: v.number(),
  /** Where the kept bitmap differs from the files; null: none is kept, or it is out of date and nobody goes by it. */
  bitmap: v.nullable(
    v.object({
      file: v.string(),
      /** Taken in the bitmap, free by the files. */
      extra: v.array(v.string()),
      /** Free in the bitmap, taken by the files. */
      missing: v.array(v.string()),
    }),
  ),
});

const ReservationSchema = v.object({
  address: v.string(),
  /** The file that makes it one. */
  file: v.string(),
  dataDir: v.string(),
  /** Null: it names nobody. */
  containerId: v.nullable(v.string()),
  /** Empty in files of host-local before v0.8. */
  ifname: v.string(),
  /** RFC 3339. */
  since: v.string(),
  isOtherBoot: v.boolean(),
});

const AttachmentSchema = v.object({
  containerId: v.string(),
  ifname: v.string(),
  /** `torn`: there is a file that can't be read as one. */
  record: v.union([
    v.null(),
    v.literal("torn"),
    v.object({
      phase: v.picklist(["begun", "reserved", "complete"]),
      kind: v.picklist(["bridge", "ipam"]),
      isOtherBoot: v.boolean(),
      addresses: v.array(v.string()),
      /** The IPAM plugin that gave them; null: ours. */
      ipam: v.nullable(v.string()),
      dataDir: v.string(),
    }),
  ]),
  /** The host-side veth that is there, by its name or its alias. */
  hostVeth: v.nullable(v.object({ name: v.string(), bridge: v.nullable(v.string()) })),
  /** By the record, or else by what the runtime keeps of its ADDs; null: not known. */
  netns: v.nullable(v.string()),
  /** `unknown`: no path is known, or it means nothing here (/proc of another boot, a container's own /run). */
  netnsState: v.picklist(["there", "gone", "unknown"]),
  /** Of the pod's interface; null: could not be looked at. */
  podAddresses: v.nullable(v.array(v.string())),
  /** By what the runtime keeps of its ADDs. */
  pod: v.nullable(PodSchema),
  /** Whether the runtime keeps the result of its ADD; null: it keeps none of anybody. */
  isCached: v.nullable(v.boolean()),
  /** A call of it is under way. */
  isBusy: v.boolean(),
});

const NetworkSchema = v.object({
  network: v.string(),
  /** `foreign`: another plugin's, whose store is only shown. */
  kind: v.picklist(["ours", "foreign"]),
  /** File of the configuration; null: none is known. */
  conf: v.nullable(v.string()),
  /** The IPAM plugin that the configuration names; null: the built-in store. */
  ipam: v.nullable(v.string()),
  /** Folder of the reservations. */
  store: v.string(),
  sets: v.array(SetSchema),
  reservations: v.array(ReservationSchema),
  attachments: v.array(AttachmentSchema),
});

/** Who holds which address, by all that can tell: reservations, records, host-side veths, namespaces, the runtime. */
export const IpamSchema = v.object({
  /** For how long the agent lets something look dead before it takes it away; 0: for ever; null: no agent works here. */
  leakGraceMs: v.nullable(v.number()),
  networks: v.array(NetworkSchema),
  /** What could not be looked at. */
  faults: v.array(v.string()),
});
export type Ipam = v.InferOutput<typeof IpamSchema>;
export type IpamNetwork = Ipam["networks"][number];
export type IpamSet = IpamNetwork["sets"][number];
export type IpamRange = IpamSet["ranges"][number];
export type IpamReservation = IpamNetwork["reservations"][number];
export type IpamAttachment = IpamNetwork["attachments"][number];
