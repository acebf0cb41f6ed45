import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import type { Family } from "../../../net/address.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import { PATH_BACKENDS, type PathBackend } from "../backends.ts";
import { type Context, type Effort, isWanted, type Suite } from "../context.ts";
import { withScratch } from "../scratch.ts";
import { type Metrics, summarise, type TurnLimits, takeTurns } from "../turns.ts";
import { measureLimits } from "./limits.ts";
import { type OurNetwork, withFreeLab, withOurNetwork } from "./ours.ts";
import { PLAIN_NAMESPACES, type PlainNamespace, plainAddress, planPlain, type Sizes } from "./plain.ts";
import { METRICS, measureTurn, type NetworkPath, type TurnWish } from "./turn.ts";

const PLAIN = "plain veth + bridge";
/** The plain one with connection tracking on, which masquerading needs: the larger part of what ours costs more. */
const TRACKING = "plain + connection tracking";
const OURS = "minicni";

/** One kind of path between two pods. */
interface Scenario {
  readonly name: string;
  readonly isSameNode: boolean;
}

/** Settings of {@link createNetworkSuite}. */
export interface NetworkSettings {
  /** The command line of a probe, up to its options; absent: `bench probe` of this program. */
  readonly probeArgv?: readonly string[];
}

const METRIC_TABLE: Metrics = {
  units: { [METRICS.throughput]: "Mbit/s", [METRICS.udp]: "µs", [METRICS.tcp]: "µs" },
  more: [METRICS.throughput],
  references: [PLAIN],
};

/**
 * Throughput and latency from pod to pod, on one node and across nodes, each backend: in a lab of ours, and in turns with
 * it in namespaces that have a plain bridge, veths of the same MTU, and routes made by hand.
 */
export function createNetworkSuite({ probeArgv }: NetworkSettings): Suite {
  return async (context) => {
    const { host, note, effort } = context;
    if (process.getuid?.() !== 0) throw new HostError("it makes network namespaces", "run it as root");
    const hasIperf = host.findProgram("iperf3") !== null;
    if (!hasIperf) {
      note(
        "TCP throughput and limits were left out: iperf3 is not installed (apt-get install iperf3, dnf install iperf3).",
      );
    }
    const wish: TurnWish = {
      throughputSeconds: hasIperf ? 1 : null,
      probeMs: effort.isQuick ? 150 : 400,
      probeArgv: probeArgv ?? [...context.self, "bench", "probe"],
    };
    const families = familiesOf(effort, context);
    await withFreeLab(host, async () => {
      note(
        "Network path: both ends are on one processor; TCP throughput is one stream, by CUBIC where there is one.",
      );
      for (const family of families) {
        for (const backend of PATH_BACKENDS) {
          if (!context.isStopped()) await measureBackend(backend, family, wish, context);
        }
      }
    });
    if (hasIperf) await measureLimits(context, families);
  };
}

/** The suite, with the probe that this program has. */
export const measureNetwork: Suite = createNetworkSuite({});

function familiesOf({ isQuick }: Effort, { host, note }: Context): Family[] {
  if (isQuick) return [4];
  if (host.listFolder("/proc/sys/net/ipv6").length > 0) return [4, 6];
  note("The network path by IPv6 was left out: this kernel has none.");
  return [4];
}

/** A turn takes more than a second: there are fewer of them than elsewhere. */
function limitsOf({ isQuick, scenarioMs }: Effort): TurnLimits {
  return isQuick ? { least: 1, most: 1, withinMs: scenarioMs } : { least: 6, most: 10, withinMs: scenarioMs };
}

function scenariosOf(backend: PathBackend, family: Family): Scenario[] {
  const suffix = family === 6 ? ", IPv6" : "";
  const across = { name: `across nodes, ${backend}${suffix}`, isSameNode: false };
  // On one node the backend is not on the way.
  return backend === "host-gw" ? [{ name: `same node${suffix}`, isSameNode: true }, across] : [across];
}

async function measureBackend(backend: PathBackend, family: Family, wish: TurnWish, context: Context) {
  const { tell, keep, isStopped, host, effort } = context;
  const scenarios = scenariosOf(backend, family).filter(({ name }) => isWanted(context, name));
  if (scenarios.length === 0) return;
  tell(`making the networks (${backend}, IPv${family})`);
  await withOurNetwork(backend, family, context, (ours) =>
    withPlainNetwork(backend, family, ours.sizes, context, async (plain, tracking) => {
      for (const { name, isSameNode } of scenarios) {
        if (isStopped()) return;
        tell(name);
        const contestant = (subject: string, network: Pick<OurNetwork, "path">) => ({
          subject,
          turn: () => measureTurn(network.path(isSameNode), wish, host),
        });
        const more = tracking === null || effort.isQuick ? [] : [contestant(TRACKING, tracking)];
        const contestants = [contestant(OURS, ours), contestant(PLAIN, plain), ...more];
        await takeTurns(contestants, limitsOf(effort), isStopped, (taken) =>
          keep(summarise({ suite: "network", scenario: name }, taken, METRIC_TABLE)),
        );
      }
    }),
  );
}

/**
 * Runs `work` with the plain network, and with a second one that tracks connections and has no other rule (null where
 * there is no iptables). Both are removed whatever happens. Needs root.
 */
export async function withPlainNetwork<T>(
  backend: PathBackend,
  family: Family,
  sizes: Sizes,
  context: { readonly host: Host; readonly cleaner: Host },
  work: (network: PlainNetwork, tracking: PlainNetwork | null) => Promise<T>,
): Promise<T> {
  return await withScratch(context, async ({ addNamespaces }) => {
    const make = async (prefix: string): Promise<PlainNetwork & { readonly nodes: readonly NetnsPath[] }> => {
      const paths = await addNamespaces(PLAIN_NAMESPACES.map((name) => `${prefix}-${name}`));
      const netns = (name: PlainNamespace) => paths[PLAIN_NAMESPACES.indexOf(name)] ?? "";
      await context.host.execute(planPlain(backend, family, sizes, netns));
      return {
        nodes: [netns("node1"), netns("node2")],
        path: (isSameNode): NetworkPath => {
          const to = isSameNode ? "node1-pod2" : "node2-pod1";
          return { from: netns("node1-pod1"), to: netns(to), address: plainAddress(family, to), family };
        },
      };
    };
    const plain = await make("plain");
    const tracking = await make("tracking");
    const areTracked = await trackConnections(tracking.nodes, family, context.host);
    return await work(plain, areTracked ? tracking : null);
  });
}

type PlainNetwork = Pick<OurNetwork, "path">;

/** One rule that asks for the state of a connection turns tracking on in a namespace (nf_ct_netns_get of the kernel). */
async function trackConnections(nodes: readonly NetnsPath[], family: Family, host: Host): Promise<boolean> {
  const program = family === 4 ? "iptables" : "ip6tables";
  if (host.findProgram(program) === null) return false;
  const rule = ["-A", "FORWARD", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"];
  for (const netns of nodes) {
    const { exitCode, stderr } = await host.spawn({ argv: [program, "-w", ...rule], netns });
    if (exitCode !== 0) {
      throw new HostError(`\`${program} ${rule.join(" ")}\` failed: ${stderr.trim()}`, "see dmesg");
    }
  }
  return true;
}
