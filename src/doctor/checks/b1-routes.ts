import { check } from "../check.ts";
import { fail, pass, type Verdict, warn } from "../finding.ts";
import type { DryPassFacts } from "../sections/dry-pass.ts";
import { countOf, someOf } from "../some.ts";

/** More commands are what `minicni plan` is for. */
const MOST_COMMANDS = 5;

/**
 * B1: routes to peers as the agent would make them now, against the kernel's: what is missing, what is ours and stale
 * (flannel#2554), what of others is in the way (flannel#333, calico#3609).
 */
export const routesCheck = check("B1", "routes", ["dryPass"], ({ dryPass }) => {
  const found = [
    ...missing(dryPass),
    ...conflicts(dryPass),
    ...stale(dryPass),
    ...withheld(dryPass),
    ...unreached(dryPass),
    ...bridgeSteps(dryPass),
  ];
  if (found.length > 0) return found;
  const counts = dryPass.routes.map(
    ({ family, desired, programmed }) => `${programmed} of ${desired} of IPv${family}`,
  );
  return [pass(`routes to peers: ${counts.length === 0 ? "none are wanted" : counts.join(", ")}`)];
});

function commandsOf({ steps }: DryPassFacts, op: string): string[] {
  return steps.filter(({ op: own, part }) => own === op && part === "network").map(({ command }) => command);
}

function shorten(commands: readonly string[]): string[] {
  const more = commands.length - MOST_COMMANDS;
  return [...commands.slice(0, MOST_COMMANDS), ...(more > 0 ? [`minicni plan  # and ${more} more`] : [])];
}

/** `10.244.2.0/24` of `ip route replace 10.244.2.0/24 via …`. */
const destinationOf = (command: string) =>
  /\b(?:replace|del)\s+(?:unicast |blackhole )?(\S+)/.exec(command)?.[1] ?? command;

function missing(facts: DryPassFacts): Verdict[] {
  const commands = commandsOf(facts, "route.replace");
  if (commands.length === 0) return [];
  const wanted = facts.routes.reduce((sum, { desired }) => sum + desired, 0);
  return [
    fail({
      message: `${commands.length} of ${countOf(wanted, "route")} to peers missing, or other than wanted: ${someOf(commands.map(destinationOf))}`,
      evidence: commands.map((command) => `wanted: ${command}`),
      cause:
        "a running agent puts them back within seconds: it does not run, or somebody removes them again and again (B12)",
      fix: shorten(commands),
    }),
  ];
}

function conflicts({ conflicts: found }: DryPassFacts): Verdict[] {
  if (found.length === 0) return [];
  const fix = found.flatMap((text) => /: (ip (?:-6 )?(?:route del|address show) .+)$/.exec(text)?.[1] ?? []);
  return [
    fail({
      message: `${countOf(found.length, "route")} of others where ours should be: ${someOf(found.map((text) => text.split(": ")[0] ?? text))}`,
      evidence: found,
      cause:
        "what is not ours is never removed, and pods of these peers are reached by whoever made the route, or not at all",
      fix:
        fix.length === 0
          ? ["# stop the program that made them, then remove them: ip route del DESTINATION"]
          : shorten(fix),
    }),
  ];
}

function stale(facts: DryPassFacts): Verdict[] {
  const commands = commandsOf(facts, "route.del");
  if (commands.length === 0) return [];
  return [
    warn({
      message: `${countOf(commands.length, "route")} of ours that no Node accounts for: ${someOf(commands.map(destinationOf))}`,
      evidence: commands.map((command) => `not wanted: ${command.replace(" del ", " ")}`),
      cause:
        "a peer has gone while no agent ran: packets to its former pods go to nobody, or to whom the addresses were given since",
      fix: shorten(commands),
    }),
  ];
}

function withheld({ withheld: number, isLive }: DryPassFacts): Verdict[] {
  if (number === 0) return [];
  return [
    warn({
      message: `${countOf(number, "route")} of ours that no Node accounts for are left for now`,
      cause: isLive
        ? "the list of Nodes is suddenly much shorter than before: removed a minute after it said so again"
        : "the list of Nodes is not one of now, and on its strength nothing is removed",
      fix: isLive
        ? ["kubectl get nodes  # are these all?"]
        : ["minicni plan --kubeconfig FILE  # with a list of now"],
    }),
  ];
}

function unreached({ peers }: DryPassFacts): Verdict[] {
  if (peers.length === 0) return [];
  return [
    warn({
      message: `${countOf(peers.length, "peer")} not reached: ${someOf(peers.map(({ node }) => node))}`,
      evidence: peers.map(({ node, message }) => `${node}: ${message}`),
      cause: "their pods can't be reached from here; all other peers are as they should be",
      fix: ["minicni status --cluster --faulty"],
    }),
  ];
}

function bridgeSteps({ steps }: DryPassFacts): Verdict[] {
  const commands = steps.filter(({ part }) => part === "bridge").map(({ command }) => command);
  if (commands.length === 0) return [];
  return [
    fail({
      message: `the pods' bridge is not as it should be: ${countOf(commands.length, "command")} would put it right`,
      evidence: commands.map((command) => `wanted: ${command}`),
      cause:
        "somebody removed the bridge, its gateway address or a port of it: pods there reach nobody; a running agent puts it back within seconds",
      fix: shorten(commands),
    }),
  ];
}
