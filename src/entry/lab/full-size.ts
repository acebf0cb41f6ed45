import type { ProbeAnswer } from "../../host/echo.ts";
import { HostError } from "../../host/errors.ts";
import { sendFullSize } from "../../host/full-size.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES } from "../../net/address.ts";
import { describeQuestion, type Endpoint, judge, type PathTo, type Probe } from "./probe.ts";

/** Of each try; on one machine an answer takes less than a hundredth of it. */
const TIMEOUT_MS = 250;
const TRIES = 2;

/**
 * A packet as large as the pod's link allows, that nobody may cut, from one pod of each node to one of each other node:
 * where it is lost, connections begin well and hang. Throws HostError when a pod's link can't be read.
 */
export async function probeFullSize(pods: readonly Endpoint[], pathTo: PathTo, host: Host): Promise<Probe[]> {
  const first = pods.filter(({ node }, index) => pods.findIndex((pod) => pod.node === node) === index);
  const probes: Probe[] = [];
  for (const from of first) {
    const packetBytes = await observeMtu(from, host);
    for (const to of first.filter((pod) => pod !== from)) {
      for (const address of to.addresses) {
        const question = describeQuestion("full-size packet", from, to, address, pathTo);
        const answer = await send(from, to, address, packetBytes, host);
        probes.push(judge({ ...question, to: `${to.label} with ${packetBytes} bytes` }, answer));
      }
    }
  }
  return probes;
}

/** Before each try the pod forgets what it learned of the path, or it would cut the packet itself. */
async function send(
  from: Endpoint,
  to: Endpoint,
  address: string,
  packetBytes: number,
  host: Host,
): Promise<ProbeAnswer> {
  let answer: ProbeAnswer = { rttMs: null, seenSource: null };
  for (let tries = 0; tries < TRIES && answer.seenSource === null; tries++) {
    for (const family of FAMILIES) {
      await host.spawn({ argv: ["ip", `-${family}`, "route", "flush", "cache"], netns: from.netns });
    }
    const request = { from: from.netns, to: to.netns, address, packetBytes, timeoutMs: TIMEOUT_MS };
    answer = await sendFullSize(request);
  }
  return answer;
}

/** In bytes, of the pod's own link. */
async function observeMtu({ netns, label }: Endpoint, host: Host): Promise<number> {
  const { stdout } = await host.spawn({ argv: ["ip", "-o", "link", "show", "dev", "eth0"], netns });
  const mtu = / mtu ([0-9]+) /.exec(stdout)?.[1];
  if (mtu !== undefined) return Number(mtu);
  throw new HostError(`${label} has no eth0`, "was it removed by hand? make the lab again");
}
