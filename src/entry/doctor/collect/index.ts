import type { Facts, Section, SectionName } from "../../../doctor/facts.ts";
import type { Seen } from "../../../doctor/seen.ts";
import { HostError, messageOf } from "../../../host/errors.ts";
import { VERSION } from "../../version.ts";
import { collectAgent } from "./agent.ts";
import { collectCidrs } from "./cidrs.ts";
import { collectCloud } from "./cloud.ts";
import { collectCniConfigs } from "./cni-configs.ts";
import { collectConntrack } from "./conntrack.ts";
import type { Collector, DoctorContext } from "./context.ts";
import { collectDryPass } from "./dry-pass.ts";
import { collectFirewall } from "./firewall.ts";
import { collectForwarding } from "./forwarding.ts";
import { collectHostPorts } from "./host-ports.ts";
import { collectInstalled } from "./installed.ts";
import { collectIpam } from "./ipam.ts";
import { collectKernel } from "./kernel.ts";
import { collectLinkOwners } from "./link-owners.ts";
import { collectMemory } from "./memory.ts";
import { collectMtu } from "./mtu.ts";
import { collectNextHops } from "./next-hops.ts";
import { collectNodeAddresses } from "./node-addresses.ts";
import { collectOwnNode } from "./own-node.ts";
import { collectPageSize } from "./page-size.ts";
import { collectPolicies } from "./policies.ts";
import { collectPrograms } from "./programs.ts";
import { collectReversePath } from "./reverse-path.ts";
import { collectRuntime } from "./runtime.ts";
import { collectTunnel } from "./tunnel.ts";

/** Who looks at what. One line each, by the alphabet. */
const COLLECTORS: { readonly [N in SectionName]: Collector<Section<N>> } = {
  agent: collectAgent,
  cidrs: collectCidrs,
  cloud: collectCloud,
  cniConfigs: collectCniConfigs,
  conntrack: collectConntrack,
  dryPass: collectDryPass,
  firewall: collectFirewall,
  forwarding: collectForwarding,
  hostPorts: collectHostPorts,
  installed: collectInstalled,
  ipam: collectIpam,
  kernel: collectKernel,
  linkOwners: collectLinkOwners,
  memory: collectMemory,
  mtu: collectMtu,
  nextHops: collectNextHops,
  nodeAddresses: collectNodeAddresses,
  ownNode: collectOwnNode,
  pageSize: collectPageSize,
  policies: collectPolicies,
  programs: collectPrograms,
  reversePath: collectReversePath,
  runtime: collectRuntime,
  tunnel: collectTunnel,
};

/**
 * Looks at what is wanted (by default at everything); what can't be seen keeps nothing else from being seen. `tell`: what is
 * being looked at.
 */
export async function collectFacts(
  context: DoctorContext,
  now: Date,
  tell: (section: string) => void,
  isWanted: (section: SectionName) => boolean = () => true,
): Promise<Facts> {
  const names = Object.keys(COLLECTORS) as SectionName[];
  const sections: Partial<Record<SectionName, Seen<unknown>>> = {};
  for (const name of names) {
    if (!isWanted(name)) {
      sections[name] = { unseen: "no check that was asked for needs it" };
      continue;
    }
    tell(name);
    sections[name] = await collectOne(() => COLLECTORS[name](context));
  }
  return {
    version: 1,
    takenAt: now.toISOString(),
    minicni: VERSION,
    sections: sections as Facts["sections"],
  };
}

async function collectOne(look: () => unknown): Promise<Seen<unknown>> {
  try {
    return { seen: await look() };
  } catch (error) {
    return { unseen: error instanceof HostError ? `${error.message} (${error.hint})` : messageOf(error) };
  }
}
