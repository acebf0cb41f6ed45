import { describe, expect, test } from "bun:test";
import type { Flow } from "../../../src/host/conntrack.ts";
import { leadsElsewhere } from "../../../src/host/port-flows.ts";
import { formatAddress } from "../../../src/net/address.ts";
import { address } from "../../twin/words.ts";
import { hostPort } from "../topology/host-ports-words.ts";

const CLIENT = "198.51.100.7";
const OWN = ["192.0.2.1", "127.0.0.1", "2001:db8::1"];
const LOCALS = new Set(OWN.map((text) => formatAddress(address(text))));
const NUMBERS = { tcp: 6, udp: 17, sctp: 132 };

/** A client's flow to `to`, answered by `by` (address and port): that of the node itself unless it was translated. */
function flow(protocol: keyof typeof NUMBERS, to: string, port: number, by = to, byPort = port): Flow {
  const [source, destination, answering] = [CLIENT, to, by].map(address);
  if (source === undefined || destination === undefined || answering === undefined) throw new RangeError(to);
  return {
    protocol: NUMBERS[protocol],
    original: { source, destination, sourcePort: 40000, destinationPort: port },
    reply: { source: answering, destination: source, sourcePort: byPort, destinationPort: 40000 },
  };
}

const isStale = (found: Flow, port: string, pod: string) =>
  leadsElsewhere(found, { port: hostPort(port), address: address(pod) }, LOCALS);

describe("leadsElsewhere", () => {
  const old = flow("udp", "192.0.2.1", 53, "10.7.0.4", 53);

  test("a flow to the pod that had the port before", () => {
    expect(isStale(old, "udp 53 53", "10.7.0.5")).toBe(true);
    expect(isStale(flow("sctp", "192.0.2.1", 53, "10.7.0.4", 53), "sctp 53 53", "10.7.0.5")).toBe(true);
    expect(isStale(flow("tcp", "192.0.2.1", 53, "10.7.0.4", 53), "tcp 53 53", "10.7.0.5")).toBe(true);
  });

  test("a flow to the node itself, from when nobody had the port", () => {
    expect(isStale(flow("udp", "192.0.2.1", 53), "udp 53 53", "10.7.0.5")).toBe(true);
    expect(isStale(flow("udp", "127.0.0.1", 53), "udp 53 53", "10.7.0.5")).toBe(true);
  });

  test("not of TCP: that is a program's own connection", () => {
    expect(isStale(flow("tcp", "192.0.2.1", 53), "tcp 53 53", "10.7.0.5")).toBe(false);
  });

  test("not one that is right, but one to another port of the same pod", () => {
    expect(isStale(flow("udp", "192.0.2.1", 53, "10.7.0.5", 53), "udp 53 53", "10.7.0.5")).toBe(false);
    expect(isStale(flow("udp", "192.0.2.1", 53, "10.7.0.5", 5353), "udp 53 53", "10.7.0.5")).toBe(true);
  });

  test("not of another port or protocol", () => {
    expect(isStale(old, "udp 54 53", "10.7.0.5")).toBe(false);
    expect(isStale(old, "tcp 53 53", "10.7.0.5")).toBe(false);
  });

  test("not what only passes the node, to the same port of somebody else", () => {
    expect(isStale(flow("udp", "203.0.113.9", 53), "udp 53 53", "10.7.0.5")).toBe(false);
  });

  test("with a hostIP, to that one alone; with that of a whole family, to each of it", () => {
    expect(isStale(old, "udp 192.0.2.1:53 53", "10.7.0.5")).toBe(true);
    expect(isStale(old, "udp 127.0.0.1:53 53", "10.7.0.5")).toBe(false);
    expect(isStale(old, "udp 0.0.0.0:53 53", "10.7.0.5")).toBe(true);
  });

  test("of IPv6, by the pod's address of IPv6", () => {
    const six = flow("udp", "2001:db8::1", 53, "fd00:7::4", 53);
    expect(isStale(six, "udp 53 53", "fd00:7::5")).toBe(true);
    expect(isStale(six, "udp [::]:53 53", "fd00:7::5")).toBe(true);
    expect(isStale(six, "udp 53 53", "10.7.0.5")).toBe(false);
  });
});
