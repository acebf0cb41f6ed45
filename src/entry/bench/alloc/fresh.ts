import { runChild } from "../child.ts";
import type { Context } from "../context.ts";
import { type Metrics, single, summarise, type Turn, takeTurns } from "../turns.ts";
import { COLD_FULLNESS, type ColdTurn, formatColdEngine } from "./cold.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import { LENGTHS, nameRange } from "./workload.ts";

/** A fresh process takes tens of milliseconds. */
const LONGEST_MS = 10_000;

/** The first allocation of fresh processes: what a CNI call pays, whose process makes one allocation and ends. */
export async function measureFresh(context: Context): Promise<void> {
  const { effort } = context;
  for (const length of effort.isQuick ? [16] : LENGTHS) {
    if (context.isStopped()) return;
    const scenario = `${nameRange(length, COLD_FULLNESS)}, fresh process`;
    context.tell(scenario);
    const contestants = ENGINES.map((engine) => ({
      subject: engine,
      turn: () => takeColdTurn(context, engine, length),
    }));
    const limits = {
      least: effort.least,
      most: effort.most,
      withinMs: Math.min(effort.scenarioMs, LONGEST_MS),
    };
    const metrics: Metrics = {
      units: { "first allocation": "µs", "whole process": "ms" },
      references: ["WASM"],
    };
    await takeTurns(contestants, limits, context.isStopped, (taken) =>
      context.keep(summarise({ suite: "alloc", scenario }, taken, metrics)),
    );
  }
}

/** Throws HostError when the process fails. */
async function takeColdTurn(context: Context, engine: EngineName, length: number): Promise<Turn> {
  const { stdout, wholeMs } = await runChild(context, [
    "cold-alloc",
    "--engine",
    formatColdEngine(engine, length),
  ]);
  const { firstUs }: ColdTurn = JSON.parse(stdout);
  return { "first allocation": single(firstUs), "whole process": single(wholeMs) };
}
