import type { TokenBucket } from "../../plan/step.ts";
import { HostError } from "../errors.ts";
import type { MessageOperation, Names } from "./encode.ts";
import { RTM } from "./kernel.ts";
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
} from "./traffic.ts";
import { type MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from "./writer.ts";

/** `1:`. */
const ROOT_HANDLE = 0x1_0000;
/** include/uapi/linux/{pkt_sched,pkt_cls}.h. */
const TC_LINKLAYER_ETHERNET = 1;
const TC_U32_TERMINAL = 1;
const TC_ACT_STOLEN = 4;
const U32_MAX = 0xffff_ffff;

type TrafficOperation = Extract<MessageOperation, { op: `qdisc.${string}` | `filter.${string}` }>;

/**
 * Writes the message that shapes a link's traffic up to its end, as iproute2 would, but for tbf's rate table, which the
 * kernel reads only of a link layer that is not told (tbf_change of net/sched/sch_tbf.c). Throws HostError for a bucket
 * that `tc` would refuse and the kernel would take for another one.
 */
export function writeTraffic(
  writer: MessageWriter,
  operation: TrafficOperation,
  names: Names,
  begin: (type: number, more?: number) => void,
): void {
  const { op, dev } = operation;
  const index = names.index(dev);
  const isNew = NLM_F_CREATE | NLM_F_EXCL;
  if (op === "filter.redirect") {
    const target = names.index(operation.to);
    begin(RTM.newFilter, isNew);
    // The upper half of the last word would be the priority, which the kernel chooses.
    writeTcmsg(writer, index, 0, INGRESS_HANDLE, ALL_PROTOCOLS);
    writer.attributeText(TCA.kind, "u32");
    writer.nested(TCA.options, () => writeRedirect(writer, target));
    return;
  }
  if (op === "qdisc.ingress") {
    begin(RTM.newQdisc, isNew);
    writeTcmsg(writer, index, INGRESS_HANDLE, TC_H_INGRESS, 0);
    writer.attributeText(TCA.kind, "ingress");
    return;
  }
  checkBucket(operation);
  begin(RTM.newQdisc, isNew);
  writeTcmsg(writer, index, ROOT_HANDLE, TC_H_ROOT, 0);
  writer.attributeText(TCA.kind, "tbf");
  writer.nested(TCA.options, () => writeBucket(writer, operation));
}

/** struct tcmsg: family and padding (four bytes), index, handle, parent, info. */
function writeTcmsg(
  writer: MessageWriter,
  index: number,
  handle: number,
  parent: number,
  info: number,
): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(handle);
  writer.u32(parent);
  writer.u32(info);
}

function checkBucket({ dev, rate, burst, limit }: TokenBucket): void {
  const isSize = (bytes: number) => Number.isInteger(bytes) && bytes > 0 && bytes <= U32_MAX;
  if (Number.isSafeInteger(rate) && rate > 0 && isSize(burst) && isSize(limit)) return;
  throw new HostError(
    `${dev} can't send at ${rate} bytes/s with a burst of ${burst} bytes and ${limit} bytes waiting`,
    "a rate is 1 byte/s or more, burst and limit are 1 byte to 4 GiB",
  );
}

function writeBucket(writer: MessageWriter, { rate, burst, limit }: TokenBucket): void {
  // struct tc_tbf_qopt.
  writer.attribute(TBF.parms, () => {
    writeRate(writer, rate);
    // No peak rate.
    for (let word = 0; word < 3; word++) writer.u32(0);
    writer.u32(limit);
    // The bucket as a time, and the peak's: TCA_TBF_BURST takes the place of the first one.
    writer.u32(0);
    writer.u32(0);
  });
  if (rate > U32_MAX) {
    writer.attribute(TBF.rate64, () => {
      writer.u32(rate % 2 ** 32);
      writer.u32(Math.floor(rate / 2 ** 32));
    });
  }
  writer.attributeU32(TBF.burst, burst);
}

/** struct tc_ratespec: cell_log, link layer (one byte each), overhead, cell_align, mpu (two bytes each), rate. */
function writeRate(writer: MessageWriter, rate: number): void {
  writer.u8(0);
  writer.u8(TC_LINKLAYER_ETHERNET);
  writer.u16(0);
  writer.u16(0);
  writer.u16(0);
  writer.u32(Math.min(rate, U32_MAX));
}

function writeRedirect(writer: MessageWriter, target: number): void {
  writer.nested(U32.act, () => {
    // Actions are numbered in the order in which they are taken (tcf_action_init of net/sched/act_api.c).
    writer.nested(1, () => {
      writer.attributeText(ACT.kind, "mirred");
      writer.nested(ACT.options, () => {
        // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex of the target.
        writer.attribute(TCA_MIRRED_PARMS, () => {
          for (const word of [0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, target]) writer.u32(word);
        });
      });
    });
  });
  // struct tc_u32_sel with one key, whose mask is empty: whatever comes matches.
  writer.attribute(U32.sel, () => {
    writer.u8(TC_U32_TERMINAL);
    writer.u8(0);
    writer.u8(1);
    writer.u8(0);
    for (let word = 0; word < 7; word++) writer.u32(0);
  });
}
