import type { Network } from "./play.ts";

/** The containers that come and go. */
export const CONTAINERS = ["c1", "c2", "c3", "c4"];
const span = (prefix: string, first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => `${prefix}${first + index}`);

/** Towards the pods and from them: each has an ifb, which stays when its sandbox goes. */
const LIMITS = { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 };

/** One address of each set: four attachments have room in the first network (its last set is the tight one), two in the second. */
export const NETWORKS: readonly Network[] = [
  {
    name: "pods",
    network: "pods",
    ifnames: ["eth0", "eth1"],
    sets: [span("10.1.0.", 2, 6), span("fd00:1::", 2, 5)],
    conf: {
      ipMasq: true,
      isDefaultGateway: true,
      ipam: { ranges: [[{ subnet: "10.1.0.0/29" }], [{ subnet: "fd00:1::/125", rangeEnd: "fd00:1::5" }]] },
    },
  },
  {
    name: "extra",
    isLimited: true,
    network: "extra",
    ifnames: ["net0", "net1"],
    sets: [["10.2.0.2", "10.2.1.1"]],
    conf: {
      bridge: "br1",
      ipMasq: true,
      ipMasqBackend: "nftables",
      macspoofchk: true,
      ...LIMITS,
      ipam: { ranges: [[{ subnet: "10.2.0.0/30" }, { subnet: "10.2.1.0/30", gateway: "10.2.1.2" }]] },
    },
  },
];
