import type { Conntrack } from "../../../doctor/sections/conntrack.ts";
import { type DoctorContext, readNumber } from "./context.ts";

/** The table of tracked connections, as the kernel counts it. */
export function collectConntrack({ host }: DoctorContext): Conntrack {
  const max = readNumber({ host }, "/proc/sys/net/netfilter/nf_conntrack_max");
  const count = readNumber({ host }, "/proc/sys/net/netfilter/nf_conntrack_count");
  if (max === null || count === null) return null;
  return { max, count, drops: countDrops(host.readFile("/proc/net/stat/nf_conntrack") ?? "") };
}

/** The columns `drop` and `early_drop`, hexadecimal, one line a processor (net/netfilter/nf_conntrack_standalone.c). */
function countDrops(text: string): number {
  const [head = "", ...lines] = text.trim().split("\n");
  const columns = head.trim().split(/\s+/);
  const wanted = ["drop", "early_drop"].map((name) => columns.indexOf(name)).filter((index) => index >= 0);
  return lines.reduce((sum, line) => {
    const cells = line.trim().split(/\s+/);
    return wanted.reduce((all, index) => all + (Number.parseInt(cells[index] ?? "0", 16) || 0), sum);
  }, 0);
}
