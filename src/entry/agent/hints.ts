import type { KernelHint } from "../../host/machine.ts";
import { isPodLinkName } from "../../net/ifname.ts";

/** The flags of a link that nobody took down; one without carrier (the last pod has gone) has them too. */
const IS_UP = /<[^>]*\bUP\b[^>]*>/;

/** What a change in the kernel calls for. */
export type HintVerdict = "ignore" | "look" | "bridge" | "forget";

/**
 * A pod that comes or goes changes links, addresses and routes of its veth: nothing of the node's. A policy rule may change
 * how every peer is reached. Without their bridge pods reach nobody. All else is a reason to look; what we changed ourselves too, and finds nothing to do.
 */
export function judgeHint({ kind, dev, text, isDelete }: KernelHint, bridge: string): HintVerdict {
  if (kind === "rule") return "forget";
  if (dev !== null && isPodLinkName(dev)) return "ignore";
  if (dev === bridge && (kind === "address" || kind === "link") && isDelete) return "bridge";
  // Ports that come and go change the bridge's state, and its link-local address when it has none yet.
  if (dev === bridge && kind === "link") return IS_UP.test(text) ? "ignore" : "bridge";
  return "look";
}
