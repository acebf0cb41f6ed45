import * as v from "valibot";
import { AgentSchema } from "./sections/agent.ts";
import { CidrsSchema } from "./sections/cidrs.ts";
import { CloudSchema } from "./sections/cloud.ts";
import { CniConfigsSchema } from "./sections/cni-configs.ts";
import { ConntrackSchema } from "./sections/conntrack.ts";
import { DryPassSchema } from "./sections/dry-pass.ts";
import { FirewallSchema } from "./sections/firewall.ts";
import { ForwardingSchema } from "./sections/forwarding.ts";
import { HostPortsSchema } from "./sections/host-ports.ts";
import { InstalledSchema } from "./sections/installed.ts";
import { IpamSchema } from "./sections/ipam.ts";
import { KernelSchema } from "./sections/kernel.ts";
import { LinkOwnersSchema } from "./sections/link-owners.ts";
import { MemorySchema } from "./sections/memory.ts";
import { MtuSchema } from "./sections/mtu.ts";
import { NextHopsSchema } from "./sections/next-hops.ts";
import { NodeAddressesSchema } from "./sections/node-addresses.ts";
import { OwnNodeSchema } from "./sections/own-node.ts";
import { PageSizeSchema } from "./sections/page-size.ts";
import { PoliciesSchema } from "./sections/policies.ts";
import { ProgramsSchema } from "./sections/programs.ts";
import { ReversePathSchema } from "./sections/reverse-path.ts";
import { RuntimeSchema } from "./sections/runtime.ts";
import { TunnelSchema } from "./sections/tunnel.ts";
import { type Seen, seenSchema } from "./seen.ts";

/** What is looked at: each section is collected, and can be missed, on its own. One line each, by the alphabet. */
export const SECTIONS = {
  agent: AgentSchema,
  cidrs: CidrsSchema,
  cloud: CloudSchema,
  cniConfigs: CniConfigsSchema,
  conntrack: ConntrackSchema,
  dryPass: DryPassSchema,
  firewall: FirewallSchema,
  forwarding: ForwardingSchema,
  hostPorts: HostPortsSchema,
  installed: InstalledSchema,
  ipam: IpamSchema,
  kernel: KernelSchema,
  linkOwners: LinkOwnersSchema,
  memory: MemorySchema,
  mtu: MtuSchema,
  nextHops: NextHopsSchema,
  nodeAddresses: NodeAddressesSchema,
  ownNode: OwnNodeSchema,
  pageSize: PageSizeSchema,
  policies: PoliciesSchema,
  programs: ProgramsSchema,
  reversePath: ReversePathSchema,
  runtime: RuntimeSchema,
  tunnel: TunnelSchema,
} as const;
export type SectionName = keyof typeof SECTIONS;
export type Section<N extends SectionName> = v.InferOutput<(typeof SECTIONS)[N]>;

/** All that a doctor run knows of a node: JSON, so that it can be saved and judged elsewhere. */
export interface Facts {
  readonly version: 1;
  /** RFC 3339. */
  readonly takenAt: string;
  /** Version of the program that took them. */
  readonly minicni: string;
  readonly sections: { readonly [N in SectionName]: Seen<Section<N>> };
}

const HeadSchema = v.object({
  version: v.literal(1),
  takenAt: v.string(),
  minicni: v.string(),
  sections: v.record(v.string(), v.unknown()),
});

const SECTION_NAMES = Object.keys(SECTIONS) as SectionName[];

/**
 * Reads saved facts. A section that is missing (of an older version) or damaged counts as unseen, with the reason; the
 * others are judged all the same. Throws SyntaxError when it is no document of facts at all.
 */
export function parseFacts(text: string): Facts {
  const head = v.safeParse(HeadSchema, parse(text));
  if (!head.success) throw new SyntaxError("these are no facts that minicni doctor --save wrote (version 1)");
  const { sections, ...rest } = head.output;
  const read = (name: SectionName) => [name, readSection(name, sections[name])] as const;
  return { ...rest, sections: Object.fromEntries(SECTION_NAMES.map(read)) as Facts["sections"] };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function readSection(name: SectionName, value: unknown): Seen<unknown> {
  if (value === undefined) return { unseen: `the saved facts have no section ${name}` };
  const parsed = v.safeParse(seenSchema(SECTIONS[name]), value);
  if (parsed.success) return parsed.output;
  const place = parsed.issues[0].path?.map(({ key }) => String(key)).join(".") ?? name;
  return { unseen: `the saved facts are damaged at ${name}.${place}` };
}
