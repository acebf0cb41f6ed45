import { readdirSync } from "node:fs";
import { createDeadline } from "../../src/host/deadline.ts";
import { HostError } from "../../src/host/errors.ts";
import { executePlan } from "../../src/host/execute.ts";
import { executeEach } from "../../src/host/execute-each.ts";
import { observeLink } from "../../src/host/links.ts";
import { createLinkRemover } from "../../src/host/netlink/remover.ts";
import { inNetns, openNetns } from "../../src/host/netns.ts";
import { HOST, type Step } from "../../src/plan/step.ts";

/** What a process in the node's namespace is to remove: rounds, one behind the other, each all at once. */
export interface Order {
  readonly rounds: readonly (readonly string[])[];
  /** Where the other end of `w…` is, by the name `e…`. */
  readonly pod: string;
  /** Each link is made again as soon as it is gone. */
  readonly isMadeAgain?: boolean;
  /** By a plan instead of the remover itself. */
  readonly until?: "first" | "each";
}

/** What came of a wish, at the moment of its answer. */
export interface Answer {
  readonly name: string;
  readonly refusal: string | null;
  readonly isThere: boolean;
  readonly isPeerThere: boolean;
}

/** What the process prints. */
export interface Report {
  readonly answers: readonly Answer[];
  /** Descriptors that were open before the first round and a while behind the last one. */
  readonly descriptors: readonly [number, number];
}

const remover = createLinkRemover();
const means = { deadline: createDeadline(60_000), engine: "netlink", open: openNetns } as const;

/** The argv of a process that carries an order out. */
export function removerArgv(netns: string, order: Order): string[] {
  return ["nsenter", `--net=${netns}`, process.execPath, import.meta.path, JSON.stringify(order)];
}

function look(name: string, pod: string, refusal: string | null): Answer {
  const isPeerThere = inNetns(pod, () => observeLink(name.replace("w", "e"))) !== null;
  return { name, refusal, isThere: observeLink(name) !== null, isPeerThere };
}

async function removeOne(name: string, { pod, isMadeAgain }: Order): Promise<Answer> {
  try {
    await remover.remove(name);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return look(name, pod, error.message);
  }
  const answer = look(name, pod, null);
  if (isMadeAgain === true) {
    const peer = { name: name.replace("w", "e"), netns: pod };
    const link = { kind: "veth", name, peer } as const;
    await executePlan([{ op: "link.add", link, netns: HOST, why: "a test" }], means);
  }
  return answer;
}

async function removeByPlan(names: readonly string[], { pod, until }: Order): Promise<Answer[]> {
  const plan = names.map((name): Step => ({ op: "link.del", name, netns: HOST, why: "a test" }));
  const refused = new Map<string, string>();
  if (until === "each") {
    for (const { step, message } of await executeEach(plan, { ...means, remover })) {
      if (step.op === "link.del") refused.set(step.name, message);
    }
  } else {
    await executePlan(plan, { ...means, remover }).catch((error) => {
      refused.set("", String(error));
    });
  }
  return [...names, ...(refused.has("") ? [""] : [])].map((name) =>
    look(name, pod, refused.get(name) ?? null),
  );
}

const countDescriptors = () => readdirSync("/proc/self/fd").length;

async function main(order: Order): Promise<Report> {
  // What opens its own descriptors, and keeps them: the event loop, the C library.
  await removeOne("nosuch", order);
  const before = countDescriptors();
  const answers: Answer[] = [];
  for (const names of order.rounds) {
    if (order.until !== undefined) answers.push(...(await removeByPlan(names, order)));
    else answers.push(...(await Promise.all(names.map((name) => removeOne(name, order)))));
  }
  // The kernel's answer comes a while behind the link's end, and only then its socket is closed.
  for (let attempt = 0; attempt < 500 && countDescriptors() > before; attempt++) await Bun.sleep(10);
  return { answers, descriptors: [before, countDescriptors()] };
}

if (import.meta.main) {
  const order: Order = JSON.parse(process.argv[2] ?? "");
  process.stdout.write(JSON.stringify(await main(order)));
}
