import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { KINDS, NODE, openUdp, PortNode, serveTcp, serveUdp } from "./host-ports-node.ts";
import { destroySandboxes, must, run } from "./sandbox.ts";
import { OUTSIDE } from "./views.ts";

setDefaultTimeout(60_000);
const open: { close(): void }[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
  destroySandboxes();
});
afterAll(destroySandboxes);

const keep = <T extends { close(): void }>(socket: T): T => {
  open.push(socket);
  return socket;
};
const serve = async (netns: string, name: string) => keep(await serveUdp(netns, 53, name));
const client = async (netns: string, family: 4 | 6) => keep(await openUdp(netns, family));

/** Flows to a port of the node, of both families. */
function flowsTo({ box }: PortNode, port: number): number {
  const list = ["conntrack", "-L", "-p", "udp", "--orig-port-dst", `${port}`];
  const listed = ["ipv4", "ipv6"].map(
    (family) => run(["nsenter", `--net=${box.netns}`, ...list, "-f", family]).stdout,
  );
  return listed.join("").match(/^udp/gm)?.length ?? 0;
}

for (const kind of KINDS) {
  describe(`flows to host ports by ${kind}`, () => {
    test("UDP: a client that goes on from one port is answered by the pod's successor", async () => {
      const node = new PortNode(kind);
      const clients = await Promise.all(([4, 6] as const).map((family) => client(node.world.netns, family)));
      const ask = () => Promise.all(clients.map((one, family) => one.ask(NODE[family] ?? "", 5353)));
      // Connections are tracked only as long as some rule wants it.
      node.add(["udp 99 53"]);
      const first = node.add(["udp 5353 53"]);
      await serve(first.netns, "first");
      expect(await ask()).toEqual(OUTSIDE.map((source) => `first saw ${source}`));
      node.del(first);
      // While no pod has the port, each datagram makes a flow to the node itself, and keeps it alive.
      for (const [family, one] of clients.entries()) one.tell(NODE[family] ?? "", 5353);
      expect(flowsTo(node, 5353)).toBe(2);
      const second = node.add(["udp 5353 53"]);
      await serve(second.netns, "second");
      expect(await ask()).toEqual(OUTSIDE.map((source) => `second saw ${source}`));
    });

    test("UDP: a client that asked before any pod had the port is answered once one has", async () => {
      const node = new PortNode(kind);
      const [outside, inside] = [await client(node.world.netns, 4), await client(node.box.netns, 4)];
      await serve(node.add(["udp 99 53"]).netns, "other");
      expect(await outside.ask(NODE[0], 99)).toStartWith("other");
      for (const one of [outside, inside]) one.tell(NODE[0], 5353);
      expect(flowsTo(node, 5353)).toBe(2);
      await serve(node.add(["udp 5353 53"]).netns, "pod");
      expect(await outside.ask(NODE[0], 5353)).toBe(`pod saw ${OUTSIDE[0]}`);
      expect(await inside.ask(NODE[0], 5353)).toStartWith("pod saw ");
    });

    test("UDP: of a pod that hands its port on, the flows to other pods' ports go on", async () => {
      const node = new PortNode(kind);
      const [one, other] = [node.add(["udp 5353 53"]), node.add(["udp 5354 53"])];
      await serve(other.netns, "other");
      const asker = await client(node.world.netns, 4);
      expect(await asker.ask(NODE[0], 5354)).toStartWith("other");
      expect(flowsTo(node, 5354)).toBe(1);
      node.del(one);
      node.add(["udp 5353 53"]);
      expect(flowsTo(node, 5354)).toBe(1);
    });

    test("TCP: a program's own connection to the node's port lives through a pod's claim of it", async () => {
      const node = new PortNode(kind);
      node.add(["tcp 99 99"]);
      keep(serveTcp(node.box.netns, 8080, "node"));
      const held = Bun.spawn({
        cmd: ["nsenter", `--net=${node.world.netns}`, "bash", "-c", HOLD, NODE[0], "8080"],
        stdin: "pipe",
        stdout: "pipe",
        stderr: "ignore",
      });
      const reader = held.stdout.getReader();
      await reader.read();
      const pod = node.add(["tcp 8080 80"]);
      keep(serveTcp(pod.netns, 80, "pod"));
      held.stdin.write("\n");
      await held.stdin.end();
      const { value } = await reader.read();
      await held.exited;
      expect(new TextDecoder().decode(value)).toStartWith("node saw ");
    });

    // Without SCTP in the kernel no socket speaks it, but connection tracking and translation do: packets made by hand.
    test.skipIf(Bun.which("perl") === null)(
      "SCTP: the first packet of an association is sent on to the pod",
      () => {
        const node = new PortNode(kind);
        node.add(["sctp 132 7"]);
        const enter = (netns: string) => ["nsenter", `--net=${netns}`];
        const seen = () => run([...enter(node.box.netns), "conntrack", "-L", "-p", "sctp"]).stdout;
        const packet = Buffer.from(sctpInit(40_000, 132)).toString("hex");
        must(...enter(node.world.netns), "perl", "-MSocket", "-e", SEND_RAW, NODE[0], packet);
        expect(seen()).toMatch(
          /src=192\.0\.2\.1 dst=192\.0\.2\.2 sport=40000 dport=132 .*src=10\.7\.0\.2 .*sport=7 /,
        );
      },
    );

    test("SCTP: rules of both families", () => {
      const node = new PortNode(kind);
      const pod = node.add(["sctp 132 7"]);
      const rules = node.rules().filter((rule) => /sctp.*132|132.*7/.test(rule));
      expect(rules.join("\n")).toContain("10.7.0.2");
      expect(rules.join("\n")).toContain("fd00:7::2");
      node.del(pod);
      expect(node.rules()).toEqual([]);
    });
  });
}

const SEND_RAW = `socket(S, AF_INET, SOCK_RAW, 132) or die $!;
send(S, pack("H*", $ARGV[1]), 0, pack_sockaddr_in(0, inet_aton($ARGV[0]))) or die $!;`;

/** A packet with the INIT chunk of RFC 9260, 3.3.2. */
function sctpInit(from: number, to: number): Uint8Array {
  const packet = new DataView(new ArrayBuffer(32));
  packet.setUint16(0, from);
  packet.setUint16(2, to);
  packet.setUint8(12, 1);
  packet.setUint16(14, 20);
  // Initiate tag, window, streams out and in, first TSN.
  packet.setUint32(16, 1);
  packet.setUint32(20, 65_536);
  packet.setUint16(24, 1);
  packet.setUint16(26, 1);
  packet.setUint32(28, 1);
  packet.setUint32(8, crc32c(new Uint8Array(packet.buffer)), true);
  return new Uint8Array(packet.buffer);
}

/** Castagnoli's, reflected (RFC 9260, appendix A). */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** Connects, says so, waits for a line, and then tells what it was sent. */
const HOLD = "exec 3<>/dev/tcp/$0/$1; echo connected; read; cat <&3";
