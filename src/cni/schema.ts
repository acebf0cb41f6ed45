import * as v from "valibot";

/** `null` stands for "absent" (runtimes send `"portMappings": null`, and Go treats both alike). */
export const absent = <T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema));

export const uint = v.pipe(v.number(), v.integer(), v.minValue(0));

export const DnsSchema = v.object({
  nameservers: absent(v.array(v.string())),
  domain: absent(v.string()),
  search: absent(v.array(v.string())),
  options: absent(v.array(v.string())),
});

export const RouteSchema = v.object({
  dst: v.string(),
  gw: absent(v.string()),
  mtu: absent(uint),
  advmss: absent(uint),
  priority: absent(uint),
  table: absent(uint),
  scope: absent(uint),
});

const RangeSchema = v.object({
  subnet: v.string(),
  rangeStart: absent(v.string()),
  rangeEnd: absent(v.string()),
  gateway: absent(v.string()),
});

const IpamSchema = v.object({
  type: absent(v.string()),
  ranges: absent(v.array(v.array(RangeSchema))),
  subnet: absent(v.string()),
  rangeStart: absent(v.string()),
  rangeEnd: absent(v.string()),
  gateway: absent(v.string()),
  routes: absent(v.array(RouteSchema)),
  resolvConf: absent(v.string()),
  dataDir: absent(v.string()),
  delegate: absent(v.boolean()),
});

const RuntimeConfigSchema = v.object({
  mac: absent(v.string()),
  ips: absent(v.array(v.string())),
  ipRanges: absent(v.array(v.array(RangeSchema))),
});

const ArgsSchema = v.object({
  cni: absent(v.object({ mac: absent(v.string()), ips: absent(v.array(v.string())) })),
});

const TrunkSchema = v.object({
  minID: absent(v.number()),
  maxID: absent(v.number()),
  id: absent(v.number()),
});

const AttachmentsSchema = v.array(v.object({ containerID: v.string(), ifname: v.string() }));

/** The key of SPEC §2 "GC", and the one that the text of its tag 1.1.0 had by mistake (cni#1101). */
export const GC_KEYS = ["cni.dev/valid-attachments", "cni.dev/attachments"] as const;

export const NetConfSchema = v.object({
  cniVersion: absent(v.string()),
  name: absent(v.string()),
  type: absent(v.string()),
  bridge: absent(v.string()),
  isGateway: absent(v.boolean()),
  isDefaultGateway: absent(v.boolean()),
  forceAddress: absent(v.boolean()),
  ipMasq: absent(v.boolean()),
  ipMasqBackend: absent(v.string()),
  mtu: absent(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  hairpinMode: absent(v.boolean()),
  promiscMode: absent(v.boolean()),
  vlan: absent(v.number()),
  vlanTrunk: absent(v.array(TrunkSchema)),
  preserveDefaultVlan: absent(v.boolean()),
  macspoofchk: absent(v.boolean()),
  portIsolation: absent(v.boolean()),
  disableContainerInterface: absent(v.boolean()),
  enabledad: absent(v.boolean()),
  ipam: absent(IpamSchema),
  dns: absent(DnsSchema),
  args: absent(ArgsSchema),
  runtimeConfig: absent(RuntimeConfigSchema),
  prevResult: v.optional(v.unknown()),
  stateDir: absent(v.string()),
  deadline: absent(v.pipe(v.number(), v.minValue(0.1), v.maxValue(3600))),
  [GC_KEYS[0]]: absent(AttachmentsSchema),
  [GC_KEYS[1]]: absent(AttachmentsSchema),
});

/** The configuration as it arrives, keys in their canonical spelling, types checked, values not yet understood. */
export type RawNetConf = v.InferOutput<typeof NetConfSchema>;
export type RawRange = v.InferOutput<typeof RangeSchema>;
export type RawRoute = v.InferOutput<typeof RouteSchema>;
/** One entry of `vlanTrunk`: one VLAN, or the first and the last of a span. */
export type RawTrunk = v.InferOutput<typeof TrunkSchema>;
/** DNS settings of a configuration or a result. */
export type Dns = v.InferOutput<typeof DnsSchema>;
/** Attachments that are still there, as GC lists them. */
export type ValidAttachments = v.InferOutput<typeof AttachmentsSchema>;
