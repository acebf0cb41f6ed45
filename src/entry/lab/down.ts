import { rmSync } from "node:fs";
import type { Host } from "../../host/machine.ts";
import { HOST } from "../../plan/step.ts";
import { LAB_PREFIX } from "../../topology/lab.ts";
import { attempt } from "../attempt.ts";
import { callPlugin } from "./call.ts";
import { LAB_FOLDER, labNamespaces, readLab } from "./state.ts";

/** Removes the lab, whole or half made; twice is fine. Throws HostError when a namespace can't be removed. */
export async function labDown(
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): Promise<void> {
  const present = labNamespaces(host);
  await detachPods(self, host, present);
  for (const name of present) {
    await host.execute([{ op: "netns.del", name, netns: HOST, why: "the lab's namespaces" }]);
  }
  const hadFolder = host.readFile(`${LAB_FOLDER}/nodelist.json`) !== null;
  rmSync(LAB_FOLDER, { recursive: true, force: true });
  say(
    present.length > 0 || hadFolder
      ? `removed ${present.length} namespaces and ${LAB_FOLDER}`
      : "there is no lab",
  );
}

/** As a runtime would: DEL for every pod. A failure is told and does not keep the rest from going. */
async function detachPods(self: readonly string[], host: Host, present: readonly string[]): Promise<void> {
  const lab = await attempt("lab down", host, () => readLab(host));
  for (const pod of lab?.pods ?? []) {
    const node = lab?.nodes.find(({ name }) => name === pod.node);
    if (node === undefined || !present.includes(`${LAB_PREFIX}${pod.node}`)) continue;
    await attempt("lab down", host, () => callPlugin("DEL", node, pod, self, host));
  }
}
