import type { ObservedShaping } from "../plan/state.ts";
import { HostError } from "./errors.ts";
import { RTM } from "./netlink/kernel.ts";
import { ask, attributes, type Message, textOf } from "./netlink/message.ts";
import {
  ACT,
  ALL_PROTOCOLS,
  INGRESS_HANDLE,
  TBF,
  TC_H_INGRESS,
  TC_H_ROOT,
  TCA,
  TCA_EGRESS_REDIR,
  TCA_MIRRED_PARMS,
  U32,
} from "./netlink/traffic.ts";

/** struct tcmsg: family and padding (four bytes), index, handle, parent, info. */
const TCMSG = { index: 4, parent: 12, info: 16, bytes: 20 } as const;
/** struct tc_tbf_qopt: two struct tc_ratespec (rate at 8 of each 12 bytes), limit, buffer, mtu. */
const TBF_QOPT = { rate: 8, limit: 24, buffer: 28 } as const;
/** PSCHED_SHIFT of include/net/pkt_sched.h: the kernel tells times in units of 2^6 ns. */
const TICK_NS = 64;
/** struct tc_u32_sel: number of keys at 2, keys (mask, value, offset, its mask) from 16 on. */
const U32_SEL = { count: 2, keys: 16, keyBytes: 16 } as const;
/** struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex. */
const MIRRED = { eaction: 20, index: 24, bytes: 28 } as const;
/** A link that is gone; a kernel without traffic control, in which nothing can be shaped. */
const NOTHING: ReadonlySet<number> = new Set([19, 95]);

/**
 * What shapes the traffic of a link of our own namespace; a link that is not there has nothing. The burst is what the
 * kernel tells of it: see {@link hasBucket} for how far it may be from what was set. `redirectedTo` is 0 when the target
 * is gone: then all is dropped.
 */
export function observeShaping(index: number): ObservedShaping {
  let bucket: ObservedShaping["bucket"] = null;
  let hasIngress = false;
  for (const { body } of dump(RTM.getQdisc, RTM.newQdisc, 0, 0)) {
    // The dump is of all links: the kernel has no filter for it (tc_dump_qdisc of net/sched/sch_api.c).
    if (body.getUint32(TCMSG.index, true) !== index) continue;
    const parent = body.getUint32(TCMSG.parent, true);
    const found = attributes(body, TCMSG.bytes);
    const kind = textOf(found.get(TCA.kind));
    if (parent === TC_H_ROOT && kind === "tbf") bucket = decodeBucket(found.get(TCA.options));
    if (parent === TC_H_INGRESS && kind === "ingress") hasIngress = true;
  }
  return { bucket, redirectedTo: hasIngress ? redirectionOf(index) : null };
}

function dump(type: number, answer: number, index: number, parent: number): Message[] {
  const fixed = new Uint8Array(TCMSG.bytes);
  const view = new DataView(fixed.buffer);
  view.setUint32(TCMSG.index, index, true);
  view.setUint32(TCMSG.parent, parent, true);
  const found = ask({ type, dump: true, fixed, attributes: [] }, (errno) => {
    if (NOTHING.has(errno)) return;
    throw new HostError(`the kernel refused a dump (rtnetlink ${type}): errno ${errno}`, "run as root");
  });
  return found.filter((message) => message.type === answer);
}

function decodeBucket(options: DataView | undefined): ObservedShaping["bucket"] {
  const parts = options === undefined ? undefined : attributes(options, 0);
  const parms = parts?.get(TBF.parms);
  if (parts === undefined || parms === undefined) return null;
  // Absent below 2^32 bytes per second.
  const rate64 = parts.get(TBF.rate64)?.getBigUint64(0, true);
  const rate = rate64 === undefined ? parms.getUint32(TBF_QOPT.rate, true) : Number(rate64);
  // Shown as the time that the rate takes for it.
  const burst = Math.round((parms.getUint32(TBF_QOPT.buffer, true) * TICK_NS * rate) / 1e9);
  return { rate, burst, limit: parms.getUint32(TBF_QOPT.limit, true) };
}

/** The target of the first filter that takes all. */
function redirectionOf(index: number): number | null {
  for (const { body } of dump(RTM.getFilter, RTM.newFilter, index, INGRESS_HANDLE)) {
    const found = attributes(body, TCMSG.bytes);
    const options = found.get(TCA.options);
    const isOfAll = (body.getUint32(TCMSG.info, true) & 0xffff) === ALL_PROTOCOLS;
    if (!isOfAll || options === undefined || textOf(found.get(TCA.kind)) !== "u32") continue;
    const parts = attributes(options, 0);
    const actions = parts.get(U32.act);
    if (actions === undefined || !matchesAll(parts.get(U32.sel))) continue;
    const target = targetOf(attributes(actions, 0).get(1));
    if (target !== null) return target;
  }
  return null;
}

function matchesAll(sel: DataView | undefined): boolean {
  if (sel === undefined || sel.byteLength < U32_SEL.keys) return false;
  for (let key = 0; key < sel.getUint8(U32_SEL.count); key++) {
    const at = U32_SEL.keys + key * U32_SEL.keyBytes;
    if (at + U32_SEL.keyBytes > sel.byteLength || sel.getUint32(at) !== 0) return false;
  }
  return true;
}

function targetOf(action: DataView | undefined): number | null {
  if (action === undefined) return null;
  const parts = attributes(action, 0);
  const options = parts.get(ACT.options);
  if (options === undefined || textOf(parts.get(ACT.kind)) !== "mirred") return null;
  const parms = attributes(options, 0).get(TCA_MIRRED_PARMS);
  if (parms === undefined || parms.byteLength < MIRRED.bytes) return null;
  return parms.getInt32(MIRRED.eaction, true) === TCA_EGRESS_REDIR
    ? parms.getUint32(MIRRED.index, true)
    : null;
}
