import type { Host } from "../host/machine.ts";
import type { Family } from "../net/address.ts";
import type { Plan, Step } from "../plan/step.ts";
import { parseRaDefaultLinks, planForwarding } from "../topology/bridge.ts";
import { IPV6_FORWARDING } from "./node.ts";

/** Whether a step switches forwarding on, and nothing besides. */
export function isForwarding(step: Step): boolean {
  return step.op === "sysctl.set" && /(^|\/)(ip_forward|all\/forwarding)$/.test(step.key);
}

/** What has to change for this machine to forward packets of these families; empty when it does. */
export function planMissingForwarding(families: ReadonlySet<Family>, host: Host): Plan {
  const v6 = families.has(6) ? host.readFile(IPV6_FORWARDING) : null;
  // The whole IPv6 route table: only read by the one call that is about to switch forwarding on.
  const isV6Off = v6 !== null && v6.trim() !== "1";
  return planForwarding(families, {
    v4: families.has(4) ? host.readFile("/proc/sys/net/ipv4/ip_forward") : null,
    v6,
    raDefaultLinks: isV6Off ? parseRaDefaultLinks(host.readFile("/proc/net/ipv6_route") ?? "") : [],
  });
}
