import { checked, Faults, good, traces } from "./faults.ts";
import { type Json, type Pod, Sandbox } from "./sandbox.ts";

/** A node with one more pod to come, and what has to be the same behind all that fails. */
export interface FaultyNode {
  readonly box: Sandbox;
  readonly conf: Json;
  readonly pod: Pod;
  readonly before: ReturnType<typeof traces>;
  /** Throws when the pod that is there does not pass CHECK any more. */
  stays(): Promise<void>;
}

/** A node that has no pod (`isFirst`), or one that has to stay as it is. */
export async function faultyNode(overrides: Json, isFirst = true): Promise<FaultyNode> {
  const box = new Sandbox();
  const conf = box.conf(overrides);
  const other = isFirst ? null : box.pod();
  const added = other === null ? null : await good(box, "ADD", other, conf);
  const stays = async () => {
    if (other !== null && added !== null) await checked(box, other, conf, added);
  };
  return { box, conf, pod: box.pod(), before: traces(box), stays };
}

/** How many programs a call runs when nothing goes wrong. */
export async function countRuns(overrides: Json, isFirst: boolean, command: "ADD" | "DEL"): Promise<number> {
  const { box, conf, pod } = await faultyNode(overrides, isFirst);
  if (command === "DEL") await good(box, "ADD", pod, conf);
  const faults = new Faults(box, "fail", 0);
  const done = await box.start(command, pod, conf, { env: faults.env }).done;
  if (done.exitCode !== 0) throw new Error(`${command}: ${done.stdout} ${done.stderr}`);
  const count = faults.runs().length;
  box.destroy();
  return count;
}

/** 1, 2, … */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
