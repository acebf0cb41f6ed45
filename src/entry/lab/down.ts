import { rmSync } from "node:fs";
import type { Host } from "../../host/machine.ts";
import { HOST } from "../../plan/step.ts";
import { stopAllAgents } from "./agents.ts";
import { detachPods } from "./pods.ts";
import { LAB_FOLDER, labNamespaces, NODE_LIST } from "./state.ts";

/** Removes the lab, whole or half made; twice is fine. Throws HostError when a part of it can't be removed. */
export async function labDown(
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): Promise<void> {
  const present = labNamespaces(host);
  // Before the namespaces go: an agent would put back what it sees going.
  const agents = await stopAllAgents(host);
  await detachPods(self, host);
  for (const name of present) {
    await host.execute([{ op: "netns.del", name, netns: HOST, why: "the lab's namespaces" }]);
  }
  const hadFolder = host.readFile(NODE_LIST) !== null;
  rmSync(LAB_FOLDER, { recursive: true, force: true });
  say(
    present.length > 0 || hadFolder
      ? `removed ${agents} agents, ${present.length} namespaces and ${LAB_FOLDER}`
      : "there is no lab",
  );
}
