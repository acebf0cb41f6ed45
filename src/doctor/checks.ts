import type { Check } from "./check.ts";
import { programsCheck } from "./checks/a1-programs.ts";
import { kernelCheck } from "./checks/a2-kernel.ts";
import { forwardingCheck } from "./checks/a3-forwarding.ts";
import { reversePathCheck } from "./checks/a4-reverse-path.ts";
import { firewallCheck } from "./checks/a5-firewall.ts";
import { linkOwnersCheck } from "./checks/a6-link-owners.ts";
import { cniConfigsCheck } from "./checks/a7-cni-configs.ts";
import { runtimeCheck } from "./checks/a8-runtime.ts";
import { cloudCheck } from "./checks/a9-cloud.ts";
import { conntrackCheck } from "./checks/a10-conntrack.ts";
import { cidrsCheck } from "./checks/a11-cidrs.ts";
import { pageSizeCheck } from "./checks/a12-page-size.ts";
import { routesCheck } from "./checks/b1-routes.ts";
import { nextHopsCheck } from "./checks/b2-next-hops.ts";
import { nodeAddressesCheck } from "./checks/b3-node-addresses.ts";
import { ownAddressCheck } from "./checks/b4-own-address.ts";
import { mtuCheck } from "./checks/b5-mtu.ts";
import { tunnelCheck } from "./checks/b6-tunnel.ts";
import { rulesCheck } from "./checks/b7-rules.ts";
import { hostPortsCheck } from "./checks/b8-host-ports.ts";
import { ipamCheck } from "./checks/b9-ipam.ts";
import { installedCheck } from "./checks/b10-installed.ts";
import { ownNodeCheck } from "./checks/b11-own-node.ts";
import { agentCheck } from "./checks/b12-agent.ts";
import { policiesCheck } from "./checks/b13-policies.ts";
import { memoryCheck } from "./checks/b14-memory.ts";

/** Every check, in the order of their names. One line each. */
export const CHECKS: readonly Check[] = [
  programsCheck, // A1
  kernelCheck, // A2
  forwardingCheck, // A3
  reversePathCheck, // A4
  firewallCheck, // A5
  linkOwnersCheck, // A6
  cniConfigsCheck, // A7
  runtimeCheck, // A8
  cloudCheck, // A9
  conntrackCheck, // A10
  cidrsCheck, // A11
  pageSizeCheck, // A12
  routesCheck, // B1
  nextHopsCheck, // B2
  nodeAddressesCheck, // B3
  ownAddressCheck, // B4
  mtuCheck, // B5
  tunnelCheck, // B6
  rulesCheck, // B7
  hostPortsCheck, // B8
  ipamCheck, // B9
  installedCheck, // B10
  ownNodeCheck, // B11
  agentCheck, // B12
  policiesCheck, // B13
  memoryCheck, // B14
];
