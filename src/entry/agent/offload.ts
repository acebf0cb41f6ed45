import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { askRefusal, type RefusalRequest } from "../../host/probe.ts";
import { type Address, formatAddress } from "../../net/address.ts";
import {
  choosePeers,
  describeOffloadOff,
  judgeAnswers,
  type OffloadState,
  roundWaitMs,
  UNTESTED,
} from "../../topology/offload.ts";
import type { Journal } from "./journal.ts";
import type { Metrics } from "./metrics.ts";

/** One tunnel device of ours as the last pass left it. */
export interface ProbedTunnel {
  readonly name: string;
  /** Interface index: another one is another device, about which nothing is known. */
  readonly index: number;
  /** Names what the tunnel runs over (uplink and local address); the test is made again when it changes. */
  readonly underlay: string;
  readonly mtu: number;
  /** Our own address on the device. */
  readonly self: Address;
  /** Addresses on the same device of the peers that are reached by it. */
  readonly peers: readonly Address[];
}

export interface OffloadProbe {
  /** After each network pass: tests what has to be tested, beside the loop. Takes no longer than an ioctl a device. */
  resync(tunnels: readonly ProbedTunnel[]): void;
  /** Nothing more is tested or switched. What is switched off stays off. */
  close(): void;
}

export interface OffloadProbeOptions {
  readonly host: Pick<Host, "txChecksum" | "executeEach" | "sleep">;
  readonly journal: Journal;
  readonly metrics: Pick<Metrics, "offload" | "repair">;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly ask?: (request: RefusalRequest) => Promise<boolean>;
}

/** One round takes three times this with a silent peer, and no longer than the round trip with the others. */
const ANSWER_TIMEOUT_MS = 700;
/** Small: its checksum is left to the device. The large one is as long as the MTU, so that its headers make it too long. */
const SMALL_BYTES = 32;
/** This many rounds without any answer are worth a line: UDP may not come through the tunnel at all. */
const SILENT_ROUNDS = 3;

interface Entry {
  tunnel: ProbedTunnel;
  /** "left": it was off when we came, by us in an earlier life or by somebody who knows why. */
  state: OffloadState | { readonly verdict: "left" };
  nextMs: number;
  isBusy: boolean;
  /** Whether it was switched off by us: later it is somebody else's doing when it is on. */
  isSwitched: boolean;
}

/** Keeps the checksum offload of the tunnel devices as far on as packets arrive with it; see topology/offload.ts. */
export function createOffloadProbe(options: OffloadProbeOptions): OffloadProbe {
  const { host, journal, metrics, now, ask = askRefusal } = options;
  const entries = new Map<string, Entry>();
  let isClosed = false;

  const isCurrent = (entry: Entry) => !isClosed && entries.get(entry.tunnel.name) === entry;
  const asks = (address: Address, bytes: number) => ask({ address, bytes, timeoutMs: ANSWER_TIMEOUT_MS });

  /** Rounds until there is a verdict or a longer wait. */
  async function test(entry: Entry): Promise<void> {
    while (isCurrent(entry) && entry.state.verdict === "unknown") {
      const { tunnel } = entry;
      const asked = choosePeers(entry.state, tunnel.self, tunnel.peers);
      const answers = await Promise.all(
        asked.map(async (peer) => {
          const both = [asks(peer, SMALL_BYTES), asks(peer, tunnel.mtu)];
          const [offloaded = false, software = false] = await Promise.all(both);
          return { peer, offloaded, software };
        }),
      );
      if (!isCurrent(entry)) return;
      entry.state = judgeAnswers(entry.state, answers);
      const waitMs = roundWaitMs(entry.state);
      if (entry.state.verdict !== "unknown" || entry.state.suspects.length === 0) {
        entry.nextMs = now() + (waitMs ?? 0);
        report(entry, asked);
        break;
      }
      await host.sleep(waitMs ?? 0);
    }
    if (isCurrent(entry) && entry.state.verdict === "broken") await switchOff(entry);
  }

  function report({ state, tunnel }: Entry, asked: readonly Address[]): void {
    const key = `tunnel ${tunnel.name}`;
    if (state.verdict === "works") {
      journal.state(key, null);
      journal.info("checksum offload works", { device: tunnel.name });
    } else if (state.verdict === "unknown" && state.rounds >= SILENT_ROUNDS) {
      const cause = "peers are down, or UDP between the nodes is blocked";
      journal.state(key, "no peer answers over the tunnel, so that checksum offload could not be tested", {
        cause,
        asked: asked.map(formatAddress).join(","),
      });
    }
  }

  async function switchOff(entry: Entry): Promise<void> {
    const { name } = entry.tunnel;
    const [failure] = await host.executeEach([describeOffloadOff(name)]);
    const key = `checksum offload ${name}`;
    if (failure !== undefined) {
      journal.state(key, "is broken and could not be switched off: TCP and UDP of pods may not arrive", {
        command: failure.command,
        cause: failure.message,
      });
      return;
    }
    metrics.offload(name, host.txChecksum(name));
    metrics.repair("link", entry.isSwitched ? "kernel" : "start", `${name} tx-checksum-ip-generic off`);
    if (entry.isSwitched || entry.state.verdict !== "broken") return;
    entry.isSwitched = true;
    const { witnesses } = entry.state;
    const [isCured] = await Promise.all(witnesses.map((peer) => asks(peer, SMALL_BYTES)));
    if (!isCurrent(entry)) return;
    journal.state(`tunnel ${name}`, null);
    journal.state(key, "is broken here, switched off", {
      change: "tx-checksum-ip-generic off",
      cause: "packets whose checksum is left to hardware do not arrive, those of the kernel do",
      peers: witnesses.map(formatAddress).join(","),
      cured: isCured,
    });
  }

  /** One device; starts at most one task for it. */
  function look(entry: Entry): void {
    const { name, peers } = entry.tunnel;
    const isOn = host.txChecksum(name);
    metrics.offload(name, isOn);
    // Null: the device or the kernel does not tell, so that it could not be switched either.
    if (entry.isBusy || isOn === null) return;
    if (entry.state.verdict === "left" && isOn) entry.state = UNTESTED;
    if (entry.state.verdict === "broken") {
      if (isOn) beside(entry, () => switchOff(entry));
    } else if (entry.state.verdict === "unknown" && !isOn) {
      entry.state = { verdict: "left" };
      journal.info("checksum offload is off already, left so", { device: name });
    } else if (entry.state.verdict === "unknown" && peers.length > 0 && now() >= entry.nextMs) {
      beside(entry, () => test(entry));
    }
  }

  function beside(entry: Entry, work: () => Promise<void>): void {
    entry.isBusy = true;
    work()
      .catch((error) => journal.warn("checksum offload test failed", { cause: messageOf(error) }))
      .finally(() => {
        entry.isBusy = false;
      });
  }

  return {
    resync: (tunnels) => {
      if (isClosed) return;
      for (const name of entries.keys()) {
        if (tunnels.some((tunnel) => tunnel.name === name)) continue;
        entries.delete(name);
        metrics.offload(name, null);
        journal.state(`tunnel ${name}`, null);
        journal.state(`checksum offload ${name}`, null);
      }
      for (const tunnel of tunnels) {
        const known = entries.get(tunnel.name);
        const entry = known !== undefined && isStill(known, tunnel) ? known : startAnew(tunnel);
        entry.tunnel = tunnel;
        entries.set(tunnel.name, entry);
        look(entry);
      }
    },
    close: () => {
      isClosed = true;
      entries.clear();
    },
  };
}

/** Whether what is known still counts. Broken stays broken while the device lives: trying again would cut connections. */
function isStill({ tunnel, state }: Entry, seen: ProbedTunnel): boolean {
  if (tunnel.index !== seen.index) return false;
  return tunnel.underlay === seen.underlay || state.verdict === "broken" || state.verdict === "left";
}

function startAnew(tunnel: ProbedTunnel): Entry {
  return { tunnel, state: UNTESTED, nextMs: Number.NEGATIVE_INFINITY, isBusy: false, isSwitched: false };
}
