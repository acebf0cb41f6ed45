import type { IpamFault } from "../../../doctor/ipam-fault.ts";
import type { Ipam } from "../../../doctor/sections/ipam.ts";
import type { Screen } from "../../output/screen.ts";
import { count, pad, wrap } from "../../output/text.ts";

const INDENT = "      ";

/** What does not fit, each with its evidence and what to do; then the count. */
export function formatFaults(
  ipam: Ipam,
  faults: readonly IpamFault[],
  { width, paint }: Pick<Screen, "width" | "paint">,
): string {
  const ours = ipam.networks.filter(({ kind }) => kind === "ours");
  const held = ours.reduce((sum, { reservations }) => sum + reservations.length, 0);
  const foreign = ipam.networks.length - ours.length;
  const paintOf = { fail: paint.bad, warn: paint.warn, note: paint.dim };
  const lines = faults.flatMap(({ level, network, message, evidence, fix }) => {
    const [first = "", ...rest] = wrap(`${network}: ${message}`, width, INDENT);
    return [
      `${paintOf[level](pad(level.toUpperCase(), INDENT.length))}${first.slice(INDENT.length)}`,
      ...rest,
      ...evidence.flatMap((line) => wrap(line, width, `${INDENT}| `).map(paint.dim)),
      `${INDENT}fix: ${paint.bold(fix)}`,
    ];
  });
  const looked = `${count(held, "reservation")} of ${count(ours.length, "network")} looked at`;
  const verdict =
    faults.length === 0
      ? paint.good("all is as it should be")
      : paint.bad(`${count(faults.length, "thing does", "things do")} not fit`);
  const last = `${looked}, ${verdict}${foreign > 0 ? `; ${count(foreign, "network")} of other plugins left out` : ""}`;
  return `${[...lines, ...ipam.faults.flatMap((fault) => wrap(`not looked at: ${fault}`, width)), ...wrap(last, width)].join("\n")}\n`;
}

/** 0: all fits; 1: something does not; 2: something could not be looked at, and the rest fits. */
export function exitCodeOf(ipam: Ipam, faults: readonly IpamFault[]): 0 | 1 | 2 {
  if (faults.length > 0) return 1;
  return ipam.faults.length > 0 ? 2 : 0;
}
