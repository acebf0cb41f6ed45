import { formatNodeList } from "../../../kube/nodelist.ts";
import { runChild } from "../child.ts";
import type { Context } from "../context.ts";
import { single, summarise, takeTurns } from "../turns.ts";
import { describeCluster } from "./cluster.ts";
import { withNode } from "./namespace.ts";
import { PROGRAMMERS, PROGRAMMING_SUBJECTS } from "./programmer-names.ts";
import type { ProgrammingReport } from "./programmers.ts";

const PEERS = 5_000;
const LIMITS = { least: 6, most: 20, withinMs: 30_000, steady: ["programming"] };
const QUICK_LIMITS = { least: 1, most: 1, withinMs: 0 };

/**
 * Routes to 5,000 peers, IPv4, from none to all of them: by the agent's executor, by a whole pass of it, and by one
 * `ip -batch`. Each turn in a namespace and a process of its own. Needs root.
 */
export async function measureProgramming(context: Context, peers = PEERS): Promise<void> {
  const scenario = `${peers.toLocaleString("en")} routes, from none to all`;
  context.tell(scenario);
  const text = formatNodeList(describeCluster(peers + 1, [4]));
  const contestants = PROGRAMMERS.map((by) => ({
    subject: PROGRAMMING_SUBJECTS[by],
    turn: async () => {
      const { stdout } = await withNode(context, [4], (netns) =>
        runChild(context, ["program-routes", "--by", by], { stdin: text, netns }),
      );
      const { wallMs, cpuMs }: ProgrammingReport = JSON.parse(stdout);
      return { programming: single(wallMs), "programming CPU": single(cpuMs) };
    },
  }));
  const limits = context.effort.isQuick ? QUICK_LIMITS : LIMITS;
  const units = { programming: "ms", "programming CPU": "ms" } as const;
  const references = [PROGRAMMING_SUBJECTS["ip-batch"]];
  await takeTurns(contestants, limits, context.isStopped, (taken) =>
    context.keep(summarise({ suite: "routes", scenario }, taken, { units, references })),
  );
}
