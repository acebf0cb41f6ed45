import { AgentNode, type NodeWords } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { must } from "./sandbox.ts";

/** A Node as a test says it, or whole. */
export type NodeItem = NodeWords | Readonly<Record<string, unknown>>;

/** Two nodes on one link, each with its doctor; both know the same Nodes. */
export function makePair(families: readonly (4 | 6)[], ...nodes: readonly NodeWords[]) {
  const here = new AgentNode(families);
  const there = new AgentNode(families, 2, here);
  for (const node of [here, there]) node.nodes(...nodes);
  return { here, there, doctor: new DoctorNode(here.box) };
}

/** By what the doctor of a node knows the Nodes, and itself. */
export const known = (node: AgentNode) => ["--nodes", node.nodesFile, "--node", node.name];

/** `ip …` where the link between nodes of `first` is: its ports are `port1`, `port2`. */
export function between(first: AgentNode, ...words: string[]): void {
  must("ip", "-n", `${first.box.name}-pod1`, ...words);
}

/** Loads rules of nft in a node's namespace. */
export function loadRules(node: AgentNode, chain: string, rule: string): void {
  node.box.node("nft", "add", "table", "inet", "fault");
  node.box.node("nft", "add", "chain", "inet", "fault", "lost", `{ ${chain} }`);
  node.box.node("nft", "add", "rule", "inet", "fault", "lost", rule);
}
