import type { Host, StepFailure } from "../../../host/machine.ts";
import type { Plan, Step } from "../../../plan/step.ts";
import { ALLOCATION_STEP, isRecordWritten, nameCall, nameStep, type StepName, scopeOf } from "./steps.ts";

/** Something that took time; both times in milliseconds, the first from the call's beginning. */
export interface Span extends StepName {
  readonly startMs: number;
  readonly durationMs: number;
}

/** Takes down what one call of the plugin asks of the machine. */
export interface Recorder {
  /** The machine as the verb sees it. */
  readonly wrap: (host: Host) => Host;
  /** All that was taken down, by its beginning; `totalMs`: what the whole call took. */
  finish(): { readonly spans: Span[]; readonly totalMs: number };
}

/** Its call ends what is read before any verb begins (answerCni). */
const FIRST_CALL = "useExecutor";

/**
 * Starts now. `isEach`: plans are run step by step, so that each has a time; their sum is larger than that of a plan that
 * is run at once.
 */
export function createRecorder(isEach: boolean, now: () => number = () => performance.now()): Recorder {
  const began = now();
  const spans: Span[] = [];
  const scopes: string[] = [];
  let before: string | null = null;
  const scope = () => scopes.at(-1) ?? null;
  /** The store's work is one step, whatever is called in there. */
  const isHidden = () => scope() === ALLOCATION_STEP;

  const note = (name: StepName, from: number) => {
    if (isHidden()) return;
    before = name.step;
    spans.push({ ...name, startMs: from - began, durationMs: now() - from });
  };
  /** Runs `work` and takes down how long it took, when it is done or has failed. */
  const timed = (name: StepName, work: () => unknown): unknown => {
    const from = now();
    try {
      const value = work();
      if (value instanceof Promise) return value.finally(() => note(name, from));
      note(name, from);
      return value;
    } catch (error) {
      note(name, from);
      throw error;
    }
  };

  const wrap = (host: Host): Host => {
    const execute = async (plan: Plan) => {
      const done: Step[] = [];
      try {
        for (const step of plan) {
          done.push(step);
          await timed(nameStep(step, scope()), () => host.execute([step]));
        }
      } catch (error) {
        // The failed step has been taken back already.
        await host.executeEach(undoOf(done.slice(0, -1)));
        throw error;
      }
    };
    const executeEach = async (plan: Plan) => {
      const failures: StepFailure[] = [];
      for (const step of plan) {
        await timed(nameStep(step, scope()), async () => failures.push(...(await host.executeEach([step]))));
      }
      return failures;
    };
    const hold = <T>(
      path: string,
      lock: (work: () => Promise<T>) => Promise<T>,
      work: () => T | Promise<T>,
    ) => {
      const asked = now();
      return lock(async () => {
        note({ step: "lock", what: path, isAlone: true }, asked);
        const held = scopeOf(path);
        if (held !== null) scopes.push(held);
        const entered = now();
        try {
          return await work();
        } finally {
          if (held !== null) scopes.pop();
          if (held === ALLOCATION_STEP) note({ step: held, what: path, isAlone: true }, entered);
        }
      });
    };
    const own: Partial<Host> = {
      ...(isEach ? { execute, executeEach } : {}),
      withLock: (path, timeoutMs, work) => hold(path, (held) => host.withLock(path, timeoutMs, held), work),
      withAttachmentLock: (path, key, work, options) =>
        hold(path, (held) => host.withAttachmentLock(path, key, held, options), work),
      useExecutor: (choice) => {
        note({ step: "configuration read", what: "", isAlone: true }, began);
        host.useExecutor(choice);
      },
    };
    return new Proxy(host, {
      get: (target, name) => {
        const replaced: unknown = Reflect.get(own, name);
        if (replaced !== undefined) return replaced;
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function" || typeof name !== "string" || name === FIRST_CALL) return value;
        return (...args: unknown[]) =>
          timed(nameCall({ name, args, scope: scope(), before }), () => Reflect.apply(value, target, args));
      },
    });
  };
  return {
    wrap,
    finish: () => {
      const totalMs = now() - began;
      return { spans: withResult(spans.sort((a, b) => a.startMs - b.startMs)), totalMs };
    },
  };
}

function undoOf(done: readonly Step[]): Plan {
  return [...done]
    .reverse()
    .flatMap(({ undo, netns, why }) => (undo === undefined ? [] : [{ ...undo, netns, why: `undo: ${why}` }]));
}

/** An ADD's result is made between the last look at the machine and the record that says that it is complete. */
function withResult(spans: readonly Span[]): Span[] {
  const last = spans.findLastIndex(isRecordWritten);
  const [before, record] = [spans[last - 1], spans[last]];
  if (before === undefined || record === undefined) return [...spans];
  const startMs = before.startMs + before.durationMs;
  const result = { step: "result", what: "", isAlone: true, startMs, durationMs: record.startMs - startMs };
  return result.durationMs <= 0 ? [...spans] : [...spans.slice(0, last), result, ...spans.slice(last)];
}
