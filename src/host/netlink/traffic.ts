/** Of include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h and linux/tc_act/tc_mirred.h: what is written and read alike. */
export const TCA = { kind: 1, options: 2 } as const;
export const TC_H_ROOT = 0xffff_ffff;
export const TC_H_INGRESS = 0xffff_fff1;
/** `ffff:`. */
export const INGRESS_HANDLE = 0xffff_0000;
export const TBF = { parms: 1, rate64: 4, burst: 6 } as const;
export const U32 = { sel: 5, act: 7 } as const;
export const ACT = { kind: 1, options: 2 } as const;
export const TCA_MIRRED_PARMS = 2;
export const TCA_EGRESS_REDIR = 1;
/** htons(ETH_P_ALL), the lower half of tcm_info. */
export const ALL_PROTOCOLS = 0x0300;
