import * as v from "valibot";

/** `null` stands for "absent" (runtimes send `"portMappings": null`, and Go treats both alike). */
export const absent = <T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema));

/** An object with these keys, others left out; an array is none, which valibot alone does not see. */
export const dictionary = <T extends v.ObjectEntries>(entries: T) =>
  v.pipe(
    v.custom<object>(
      (value) => typeof value === "object" && value !== null && !Array.isArray(value),
      "an object",
    ),
    v.object(entries),
  );

/** A number of a configuration or a result: whole, not negative. */
export const uint = v.pipe(v.number(), v.integer(), v.minValue(0));

/** DNS settings, in a configuration or a result. */
export const DnsSchema = dictionary({
  nameservers: absent(v.array(v.string())),
  domain: absent(v.string()),
  search: absent(v.array(v.string())),
  options: absent(v.array(v.string())),
});

/** A route, in a configuration or a result. */
export const RouteSchema = dictionary({
  dst: v.string(),
  gw: absent(v.string()),
  mtu: absent(uint),
  advmss: absent(uint),
  priority: absent(uint),
  table: absent(uint),
  scope: absent(uint),
});

const RangeSchema = dictionary({
  subnet: v.string(),
  rangeStart: absent(v.string()),
  rangeEnd: absent(v.string()),
  gateway: absent(v.string()),
});

const IpamSchema = dictionary({
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

/** Not `uint`: a negative or broken number is refused by name, with all else that can be wrong about it. */
const PortMappingSchema = dictionary({
  hostPort: absent(v.number()),
  containerPort: absent(v.number()),
  protocol: absent(v.string()),
  hostIP: absent(v.string()),
});

/** Bits per second, and bits. */
const bandwidthKeys = {
  ingressRate: absent(v.number()),
  ingressBurst: absent(v.number()),
  egressRate: absent(v.number()),
  egressBurst: absent(v.number()),
};

/** Keys of the tuning plugin that `args.cni` knows as well; `mac` and `mtu` beside them. */
const tuningKeys = {
  promisc: absent(v.boolean()),
  allmulti: absent(v.boolean()),
  txQLen: absent(v.number()),
  sysctl: absent(v.record(v.string(), v.string())),
};

const RuntimeConfigSchema = dictionary({
  mac: absent(v.string()),
  ips: absent(v.array(v.string())),
  ipRanges: absent(v.array(v.array(RangeSchema))),
  portMappings: absent(v.array(PortMappingSchema)),
  bandwidth: absent(dictionary(bandwidthKeys)),
});

const ArgsSchema = dictionary({
  cni: absent(
    dictionary({
      mac: absent(v.string()),
      ips: absent(v.array(v.string())),
      mtu: absent(v.number()),
      ...tuningKeys,
    }),
  ),
});

const TrunkSchema = dictionary({
  minID: absent(v.number()),
  maxID: absent(v.number()),
  id: absent(v.number()),
});

const AttachmentsSchema = v.array(dictionary({ containerID: v.string(), ifname: v.string() }));

/** The key of SPEC §2 "GC", and the one that the text of its tag 1.1.0 had by mistake (cni#1101). */
export const GC_KEYS = ["cni.dev/valid-attachments", "cni.dev/attachments"] as const;

/** The keys that any verb looks at. */
export const NetConfSchema = dictionary({
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
  /** Host ports, as the plugin portmap has them. */
  snat: absent(v.boolean()),
  masqAll: absent(v.boolean()),
  markMasqBit: absent(v.number()),
  externalSetMarkChain: absent(v.string()),
  conditionsV4: absent(v.array(v.string())),
  conditionsV6: absent(v.array(v.string())),
  backend: absent(v.string()),
  hostPortLocalhost: absent(v.boolean()),
  ...bandwidthKeys,
  mac: absent(v.string()),
  ...tuningKeys,
  ipam: absent(IpamSchema),
  /** Of Go minicni; in a configuration of another plugin it may be anything. */
  subnet: v.optional(v.unknown()),
  dns: absent(DnsSchema),
  args: absent(ArgsSchema),
  runtimeConfig: absent(RuntimeConfigSchema),
  prevResult: v.optional(v.unknown()),
  stateDir: absent(v.string()),
  dataDir: absent(v.string()),
  deadline: absent(v.pipe(v.number(), v.minValue(0.1), v.maxValue(3600))),
  executor: absent(v.picklist(["auto", "netlink", "iproute2"])),
  agentWait: absent(v.pipe(v.number(), v.minValue(0), v.maxValue(60))),
  [GC_KEYS[0]]: absent(AttachmentsSchema),
  [GC_KEYS[1]]: absent(AttachmentsSchema),
});

/** The configuration as it arrives, keys in their canonical spelling, types checked, values not yet understood. */
export type RawNetConf = v.InferOutput<typeof NetConfSchema>;
/** A route as it is written. */
export type RawRoute = v.InferOutput<typeof RouteSchema>;
/** One entry of `vlanTrunk`: one VLAN, or the first and the last of a span. */
export type RawTrunk = v.InferOutput<typeof TrunkSchema>;
/** DNS settings of a configuration or a result. */
export type Dns = v.InferOutput<typeof DnsSchema>;
/** One host port as the runtime asks for it. */
export type RawPortMapping = v.InferOutput<typeof PortMappingSchema>;
/** Attachments that are still there, as GC lists them. */
export type ValidAttachments = v.InferOutput<typeof AttachmentsSchema>;
