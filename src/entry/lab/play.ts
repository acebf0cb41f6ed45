import type { Command } from "commander";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { type Address, formatAddress, parseAddress } from "../../net/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { BACKENDS } from "../../topology/path.ts";
import { awaitAgent, startAgent, stopAgent } from "./agents.ts";
import { withLabLock } from "./exclusive.ts";
import { editList } from "./list.ts";
import { addPod, removePod } from "./pods.ts";
import { requireLab, requireNode, writeBackend } from "./state.ts";

/** The commands by which a person changes a lab that is up, to see what its agents do. */
export function addPlayCommands(
  program: Command,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): void {
  addAgentCommands(program.command("agent").description("stop and start a node's agent"), self, host, say);
  program
    .command("backend <name>")
    .description("another backend for all agents: each is started anew")
    .action((name: string) => withLabLock("backend", host, () => changeBackend(name, self, host, say)));
  addNodeCommands(program.command("node").description("change the NodeList"), host, say);
  addPodCommands(program.command("pod").description("make and remove pods"), self, host, say);
}

async function changeBackend(
  name: string,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): Promise<void> {
  const backend = BACKENDS.find((known) => known === name);
  if (backend === undefined) {
    throw new HostError(`there is no backend ${name}`, `choose one of ${BACKENDS.join(", ")}`);
  }
  const nodes = requireLab(host).nodes.map((node) => node.name);
  writeBackend(host, backend);
  for (const node of nodes) await stopAgent(node, host);
  for (const node of nodes) startAgent(node, backend, self, host);
  for (const node of nodes) await awaitAgent(node, host);
  say(`${nodes.length} agents ready (backend ${backend})`);
}

function addAgentCommands(
  group: Command,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): void {
  const stop = async (node: string, isKill: boolean) => {
    requireNode(requireLab(host), node);
    say(`${node}: ${await stopAgent(node, host, isKill)}`);
  };
  const start = async (node: string) => {
    const lab = requireLab(host);
    requireNode(lab, node);
    const isStarted = startAgent(node, lab.backend, self, host);
    await awaitAgent(node, host);
    say(`${node}: ${isStarted ? "agent started and ready" : "the agent runs already"}`);
  };
  const add = (name: string, description: string, work: (node: string) => Promise<void>) =>
    group
      .command(`${name} <node>`)
      .description(description)
      .action((node: string) => withLabLock(`agent ${name}`, host, () => work(node)));
  add("stop", "SIGTERM; the node's network stays as it is", (node) => stop(node, false));
  add("kill", "SIGKILL", (node) => stop(node, true));
  add("start", "start it and wait until it is ready", start);
  add("restart", "stop, start", async (node) => {
    await stop(node, false);
    await start(node);
  });
}

interface SetOptions {
  readonly podCidrs?: string;
  readonly addresses?: string;
}

function addNodeCommands(group: Command, host: Host, say: (line: string) => void): void {
  group
    .command("rm <node>")
    .description("take it out of the NodeList; the virtual node stays")
    .action((name: string) =>
      withLabLock("node rm", host, async () => {
        requireNode(requireLab(host), name);
        editList(host, name, null);
        say(`${name} is not in the NodeList any more`);
      }),
    );
  group
    .command("set <node>")
    .description("what the NodeList says of it; without options what `lab up` gave it")
    .option("--pod-cidrs <list>", "comma-separated networks")
    .option("--addresses <list>", "comma-separated node addresses")
    .action((name: string, options: SetOptions) =>
      withLabLock("node set", host, async () => {
        const made = requireNode(requireLab(host), name);
        const podCidrs = parseAll("pod-cidrs", options.podCidrs, parsePrefix) ?? made.podCidrs;
        const addresses = parseAll("addresses", options.addresses, parseAddress) ?? made.addresses;
        editList(host, name, { name, podCidrs, addresses });
        const texts = [...addresses.map(formatAddress), "pods", ...podCidrs.map(formatPrefix)];
        say(`the NodeList says: ${name}  ${texts.join("  ")}`);
      }),
    );
}

function addPodCommands(
  group: Command,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): void {
  group
    .command("add <node> <pod>")
    .description("a sandbox, and the plugin's ADD")
    .action((node: string, name: string) =>
      withLabLock("pod add", host, async () => {
        const { addresses } = await addPod(node, name, self, host);
        say(`${node}/${name}  ${addresses.join("  ")}`);
      }),
    );
  group
    .command("rm <node> <pod>")
    .description("the plugin's DEL; the sandbox goes")
    .action((node: string, name: string) =>
      withLabLock("pod rm", host, async () => {
        await removePod(node, name, self, host);
        say(`${node}/${name} is gone`);
      }),
    );
}

/** A comma-separated list; null: not given. Throws HostError for an element that is none. */
function parseAll<T extends Address | Prefix>(
  option: string,
  text: string | undefined,
  parse: (text: string) => T | null,
): T[] | null {
  if (text === undefined) return null;
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const value = parse(part.trim());
      if (value !== null) return value;
      throw new HostError(`--${option} has "${part}"`, `see: minicni lab node set --help`);
    });
}
