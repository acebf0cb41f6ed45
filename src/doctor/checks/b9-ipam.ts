import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { IpamFault, IpamFaultKind } from "../ipam-fault.ts";
import { findIpamFaults } from "../ipam-faults.ts";
import type { Ipam } from "../sections/ipam.ts";
import { countOf, someOf } from "../some.ts";

/** What comes of it. */
const CAUSES: Readonly<Record<IpamFaultKind, string>> = {
  full: "new pods get no address, and stay in ContainerCreating",
  double: "each of the two gets packets of the other: connections hang and come back",
  mismatch: "two pods may be using one address, or will as soon as it is released",
  unreserved: "somebody removed the file by hand: the next pod may get the address of one that lives",
  "cut off": "somebody removed the veth (an `ip link del`, another CNI's clean-up)",
  leak: "the pod went without a DEL (a runtime that was killed, a node that was reset): its address is lost until somebody frees it",
  leftover: "the pod went without a DEL",
  torn: "a crash or a full disk left an empty file: its address is lost until the range is full",
  outside: "the pod CIDR or the ranges were changed since: other nodes have no route to it",
  "no record": "somebody emptied the state folder: DEL goes by names and finds less",
  bitmap: "it was written by another program, or damaged: it is only kept to find free addresses fast",
  "other boot": "the node was started anew: the next ADD of the network frees it",
};

/** B9: the store against records, namespaces and veths (kubernetes#39557, cri-o#2410); `minicni ipam verify` judges alike. */
export const ipamCheck = check("B9", "addresses of pods", ["ipam"], ({ ipam }) => {
  const faults = findIpamFaults(ipam);
  const unseen = ipam.faults.map((fault) => skip(`addresses of pods: not looked at: ${fault}`));
  const groups = new Map<string, IpamFault[]>();
  for (const fault of faults.filter(({ level }) => level !== "note")) {
    const key = `${fault.kind} ${fault.network}`;
    groups.set(key, [...(groups.get(key) ?? []), fault]);
  }
  const found = [...groups.values()].flatMap(judgeGroup);
  if (found.length > 0) return [...found, ...unseen];
  const notes = faults.filter(({ level }) => level === "note").map(({ message }) => message);
  return [...describeFine(ipam, notes), ...unseen];
});

function describeFine({ networks }: Ipam, notes: readonly string[]): Verdict[] {
  const ours = networks.filter(({ kind }) => kind === "ours");
  if (ours.length === 0) return [skip("addresses of pods: no network of ours gives any here")];
  const held = ours.reduce((sum, { reservations }) => sum + reservations.length, 0);
  const names = someOf(ours.map(({ network }) => network));
  return [
    pass(`${countOf(held, "address", "addresses")} of ${names} held, each by one pod that lives`, notes),
  ];
}

/** Several faults of one kind are one finding. */
function judgeGroup(faults: readonly IpamFault[]): Verdict[] {
  const [first] = faults;
  if (first === undefined) return [];
  const judge = faults.some(({ level }) => level === "fail") ? fail : warn;
  const addresses = faults.flatMap(({ address }) => address ?? []);
  const message =
    faults.length === 1
      ? `${first.network}: ${first.message}`
      : `${first.network}: ${countOf(faults.length, "address", "addresses")} ${SUMS[first.kind]}${addresses.length === 0 ? "" : `: ${someOf(addresses)}`}`;
  return [
    judge({
      message,
      evidence: faults.flatMap(({ message: one, evidence }) =>
        faults.length === 1 ? evidence : [one, ...evidence],
      ),
      cause: CAUSES[first.kind],
      fix: [...new Set(faults.map(({ fix }) => fix))],
    }),
  ];
}

/** What is so of several. */
const SUMS: Readonly<Record<IpamFaultKind, string>> = {
  full: "of ranges that are full",
  double: "on two pods each",
  mismatch: "of one pod by the record and of another by the reservation",
  unreserved: "of pods that live are not reserved",
  "cut off": "of pods whose veth somebody removed",
  leak: "held by pods that are gone",
  leftover: "of records that are left",
  torn: "reserved by files that name nobody",
  outside: "in no range",
  "no record": "of pods whose record is lost",
  bitmap: "of bitmaps that differ",
  "other boot": "held by pods of another boot",
};
