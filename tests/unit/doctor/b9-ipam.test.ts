import { describe, expect, test } from "bun:test";
import { ipamCheck } from "../../../src/doctor/checks/b9-ipam.ts";
import { findIpamFaults } from "../../../src/doctor/ipam-faults.ts";
import type { Ipam, IpamAttachment, IpamNetwork } from "../../../src/doctor/sections/ipam.ts";
import { findingsOf, linesOf } from "./facts.ts";
import { attachment, DATA_DIR, ipamOf, network, recordOf, reservation, set } from "./ipam-words.ts";

const lines = (ipam: Ipam) => linesOf(findingsOf(ipamCheck, { ipam }));
/** One pod `a` with 10.1.2.5, and what is odd about it. */
const odd = (more: Partial<IpamAttachment>, of: Partial<IpamNetwork> = {}, graceMs: number | null = null) =>
  ipamOf(
    {
      reservations: [reservation("10.1.2.5", "a")],
      attachments: [attachment("a", ["10.1.2.5"], more)],
      ...of,
    },
    graceMs,
  );
const GONE = { hostVeth: null, netnsState: "gone", podAddresses: null } as const;

describe("B9, addresses of pods", () => {
  test("that all fit are no finding", () => {
    expect(lines(odd({}))).toEqual(["PASS B9 1 address of minicni held, each by one pod that lives"]);
    expect(lines(ipamOf({}))).toEqual(["PASS B9 0 addresses of minicni held, each by one pod that lives"]);
  });

  test("of a node without a network of ours are skipped, whatever other plugins do", () => {
    const foreign = network({ kind: "foreign", reservations: [reservation("10.1.2.9", null)] });
    expect(lines({ leakGraceMs: null, networks: [foreign], faults: [] })).toEqual([
      "SKIP B9 addresses of pods: no network of ours gives any here",
    ]);
  });

  test("what could not be looked at is told beside what was", () => {
    expect(lines({ ...odd({}), faults: ["x: EACCES"] })).toEqual([
      "PASS B9 1 address of minicni held, each by one pod that lives",
      "SKIP B9 addresses of pods: not looked at: x: EACCES",
    ]);
  });

  test.each<[string, Ipam, string]>([
    [
      "a pod whose namespace is gone",
      odd(GONE),
      "WARN B9 minicni: 10.1.2.5 is held by container a eth0, whose network namespace is gone",
    ],
    [
      "an ADD that was killed",
      odd({ record: recordOf(["10.1.2.5"], { phase: "reserved" }) }),
      "WARN B9 minicni: 10.1.2.5 is held by container a eth0, whose ADD was killed half way",
    ],
    [
      "a veth that somebody removed",
      odd({ hostVeth: null }),
      "FAIL B9 minicni: 10.1.2.5 is held by container a eth0, whose host-side veth somebody removed: it has no network",
    ],
    [
      "a record that is lost",
      odd({ record: null, netns: null, netnsState: "unknown" }),
      "WARN B9 minicni: 10.1.2.5 is held by container a eth0, whose record can't be read or is lost (its veth mcnia is there)",
    ],
    [
      "an attachment that the runtime does not know",
      odd({ record: null, netns: null, netnsState: "unknown", hostVeth: null, isCached: false }),
      "WARN B9 minicni: 10.1.2.5 is held by container a eth0, which has neither record nor veth, and which the runtime does not know",
    ],
    [
      "a torn file",
      ipamOf({ reservations: [reservation("10.1.2.5", null)] }),
      "WARN B9 minicni: 10.1.2.5 is reserved by a file that names nobody (a torn write)",
    ],
    [
      "a file that somebody removed",
      odd({}, { reservations: [] }),
      "FAIL B9 minicni: 10.1.2.5 of container a eth0 is not reserved: the next pod may be given it",
    ],
    [
      "a file that names another one",
      odd(
        {},
        {
          reservations: [reservation("10.1.2.5", "b")],
          attachments: [attachment("a", ["10.1.2.5"]), attachment("b", ["10.1.2.5"], { podAddresses: [] })],
        },
      ),
      "FAIL B9 minicni: 10.1.2.5 is by its record of container a eth0, by its reservation of container b",
    ],
    [
      "an address that an earlier ADD of the same pod left",
      odd({}, { reservations: [reservation("10.1.2.5", "a"), reservation("10.1.2.6", "a")] }),
      "WARN B9 minicni: 10.1.2.6 is reserved for container a eth0, whose record does not name it",
    ],
    [
      "an address of no range",
      ipamOf({ reservations: [reservation("10.9.9.9", "a")], attachments: [attachment("a", ["10.9.9.9"])] }),
      "WARN B9 minicni: 10.9.9.9 is in no range of minicni",
    ],
    [
      "a full range",
      odd({}, { sets: [set({ free: 0, held: 253, next: null })] }),
      "FAIL B9 minicni: no address is left of 10.1.2.1-10.1.2.254: 253 are held, 0 of them not by a pod that lives",
    ],
    [
      "a bitmap that says more",
      odd({}, { sets: [set({ bitmap: { file: "/x/.pool.0", extra: ["10.1.2.7"], missing: [] } })] }),
      `WARN B9 minicni: 1 free address of ${DATA_DIR}/minicni counted as used`,
    ],
  ])("%s", (_what, ipam, line) => {
    expect(lines(ipam)).toEqual([line]);
  });

  test("two pods with one address", () => {
    const both = [
      attachment("a", ["10.1.2.5"]),
      attachment("b", ["10.1.2.6"], { podAddresses: ["10.1.2.5"] }),
    ];
    const [finding] = findingsOf(ipamCheck, {
      ipam: ipamOf({
        reservations: [reservation("10.1.2.5", "a"), reservation("10.1.2.6", "b")],
        attachments: both,
      }),
    });
    expect(finding).toMatchObject({
      level: "fail",
      message: "minicni: 10.1.2.5 is on container a eth0 and on container b eth0",
      evidence: ["/run/netns/a eth0: 10.1.2.5", "/run/netns/b eth0: 10.1.2.5"],
    });
  });

  test("many of a kind are one finding", () => {
    const ids = ["a", "b", "c", "d", "e", "f"];
    const ipam = ipamOf({
      reservations: ids.map((id, index) => reservation(`10.1.2.${10 + index}`, id)),
      attachments: ids.map((id, index) => attachment(id, [`10.1.2.${10 + index}`], GONE)),
    });
    expect(lines(ipam)).toEqual([
      "WARN B9 minicni: 6 addresses held by pods that are gone: 10.1.2.10, 10.1.2.11, 10.1.2.12, 10.1.2.13 and 2 more",
    ]);
  });

  test.each<[string, Ipam]>([
    [
      "reservations of another boot go with the next ADD",
      ipamOf({ reservations: [reservation("10.1.2.5", "a", { isOtherBoot: true })] }),
    ],
    [
      "a call that is under way is let alone",
      odd({ record: recordOf([], { phase: "begun" }), isBusy: true, hostVeth: null }),
    ],
    ["a pod of another plugin, whose store we took over", odd({ record: null, hostVeth: null })],
    [
      "nothing can be known of a pod without record, veth and cache",
      odd({ record: null, hostVeth: null, netns: null, netnsState: "unknown" }),
    ],
    [
      "as IPAM plugin there is no veth of ours",
      odd({ record: recordOf(["10.1.2.5"], { kind: "ipam" }), hostVeth: null }),
    ],
    [
      "a bitmap that says less is harmless",
      odd({}, { sets: [set({ bitmap: { file: "/x/.pool.0", extra: [], missing: ["10.1.2.5"] } })] }),
    ],
    [
      "addresses of another IPAM plugin are not in our store",
      odd({ record: recordOf(["10.1.2.5"], { ipam: "dhcp" }) }, { reservations: [], sets: [] }),
    ],
  ])("no finding: %s", (_what, ipam) => {
    expect(findingsOf(ipamCheck, { ipam }).map(({ level }) => level)).toEqual(["pass"]);
  });
});

describe("what to do", () => {
  const fixOf = (ipam: Ipam) => findIpamFaults(ipam).map(({ fix }) => fix);

  test("about a leak is the command, or to wait for the agent", () => {
    expect(fixOf(odd(GONE))).toEqual(["minicni ipam release --network minicni 10.1.2.5"]);
    expect(fixOf(odd(GONE, {}, 0))).toEqual(["minicni ipam release --network minicni 10.1.2.5"]);
    expect(fixOf(odd(GONE, {}, 300_000))).toEqual([
      "minicni ipam release --network minicni 10.1.2.5 # or wait: the agent's leak check removes it after 300 s",
    ]);
  });

  test("the agent's check does not see what has no record", () => {
    const ipam = odd({ ...GONE, record: null, isCached: true }, {}, 300_000);
    expect(fixOf(ipam)).toEqual(["minicni ipam release --network minicni 10.1.2.5"]);
  });

  test("about a pod that lives names it where the runtime does", () => {
    const pod = { namespace: "shop", name: "web-0" };
    expect(fixOf(odd({ hostVeth: null, pod }))).toEqual(["kubectl delete pod -n shop web-0"]);
  });
});
