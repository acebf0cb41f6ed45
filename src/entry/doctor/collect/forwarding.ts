import type { Forwarding } from "../../../doctor/sections/forwarding.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import { findPublished } from "../../node.ts";
import { type DoctorContext, readNumber } from "./context.ts";
import { trySettings } from "./sysctl-files.ts";
import { podPaths } from "./uplinks.ts";

const WANTED =
  /^net\/ipv4\/(ip_forward|conf\/[^/]+\/forwarding)$|^net\/ipv6\/conf\/[^/]+\/(forwarding|accept_ra)$/;
/** RTF_REJECT (include/uapi/linux/route.h) and RTF_ADDRCONF (ipv6_route.h): the kernel made it of an advertisement. */
const RTF_REJECT = 0x0200;
const RTF_ADDRCONF = 0x40000;

/** Whether this node forwards for pods, and who says so at the next boot. */
export function collectForwarding(context: DoctorContext): Forwarding {
  const { host } = context;
  const ipv4 = readSwitch(context, "ipv4/ip_forward");
  return {
    ipv4,
    ipv6: readSwitch(context, "ipv6/conf/all/forwarding"),
    podFamilies: podFamilies(context),
    off:
      ipv4 === true
        ? podPaths(context).filter((link) => readSwitch(context, `ipv4/conf/${link}/forwarding`) === false)
        : [],
    newLinks: readSwitch(context, "ipv4/conf/default/forwarding"),
    ...observeAdvertised(context, host.readFile("/proc/net/ipv6_route") ?? ""),
    ...trySettings(context, (key) => WANTED.test(key)),
  };
}

function readSwitch(context: DoctorContext, key: string): boolean | null {
  const value = readNumber(context, `/proc/sys/net/${key}`);
  return value === null ? null : value !== 0;
}

/** Routes by advertisement that the kernel keeps itself; those of networkd and NetworkManager, which listen on their own, carry no such flag. */
function observeAdvertised(
  context: DoctorContext,
  text: string,
): Pick<Forwarding, "advertised" | "hasOtherDefault"> {
  const found = new Map<string, boolean>();
  let hasOtherDefault = false;
  for (const line of text.split("\n")) {
    const [dst = "", length, , , , , , , flagText = "0", link = ""] = line.trim().split(/\s+/);
    const flags = Number.parseInt(flagText, 16);
    if (link === "" || link === "lo" || (flags & RTF_REJECT) !== 0) continue;
    const isDefault = /^0+$/.test(dst) && length === "00";
    if ((flags & RTF_ADDRCONF) === 0) hasOtherDefault ||= isDefault;
    // Every link has one for its link-local addresses.
    else if (!dst.startsWith("fe8")) found.set(link, isDefault || found.get(link) === true);
  }
  const advertised = [...found].map(([link, hasDefault]) => ({
    link,
    acceptRa: readNumber(context, `/proc/sys/net/ipv6/conf/${link}/accept_ra`),
    isRouter: readSwitch(context, `ipv6/conf/${link}/forwarding`) === true,
    hasDefault,
  }));
  return { advertised, hasOtherDefault };
}

/** Of the pods that this node has or will have: as published, else as its Node says. */
function podFamilies({ host, settings, cluster, node }: DoctorContext): (4 | 6)[] {
  const published = findPublished(settings.stateDir, host)?.podCidrs ?? [];
  const own = cluster.snapshot?.nodes.find(({ name }) => name === node)?.podCidrs ?? [];
  const families = [
    ...published.flatMap((cidr) => parsePrefix(cidr)?.address.family ?? []),
    ...own.map(({ address }) => address.family),
  ];
  return [...new Set(families)].sort();
}
