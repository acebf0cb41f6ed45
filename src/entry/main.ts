import { CNI_CODE, CniError, formatError } from "../cni/errors.ts";
import { LATEST_VERSION } from "../cni/version.ts";
import { createDeadline } from "../host/deadline.ts";
import { createHost } from "../host/linux.ts";
import { openStdin } from "../host/stdin.ts";
import { print } from "../host/stdout.ts";
import { answerCni, type Verbs } from "./cni.ts";
import { toCniError } from "./errors.ts";

/** Signals by which somebody ends us; SIGKILL leaves no word. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** Seconds behind the deadline in which what was begun is taken back; then we end, done or not. */
const GRACE_S = 15;

/** Ends the process with its one document; whoever comes second finds it ended. */
function answer(exitCode: number, stdout: string): never {
  process.exit(tell(stdout) ? exitCode : 1);
}

/** Whether the document could be written. */
function tell(stdout: string): boolean {
  try {
    if (stdout !== "") print(`${stdout}\n`);
    return true;
  } catch (error) {
    createHost().log(`the answer could not be written: ${String(error)}`);
    return false;
  }
}

/** One call of a runtime: one answer, whatever happens. `verbs` absent: those of the pod network's plugin. */
async function serveCni(verbs?: Verbs): Promise<never> {
  const deadline = createDeadline(Number.POSITIVE_INFINITY);
  const host = createHost(deadline);
  const fail = (error: unknown) => answer(1, formatError(LATEST_VERSION, toCniError(error)));
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  for (const signal of SIGNALS) process.on(signal, () => deadline.interrupt(`${signal} came`));
  let secondsOver = 0;
  setInterval(() => {
    secondsOver = deadline.left() === 0 ? secondsOver + 1 : 0;
    if (secondsOver < GRACE_S) return;
    fail(new CniError(CNI_CODE.tryAgainLater, "this call hangs, and so does taking it back", "see dmesg"));
  }, 1000);
  const { exitCode, stdout, takeBack } = await answerCni(process.env, openStdin(), host, verbs);
  if (tell(stdout)) process.exit(exitCode);
  // To its caller an ADD without a result has failed, and a failed one leaves nothing.
  await takeBack?.();
  return process.exit(1);
}

/**
 * A runtime calls with CNI_COMMAND in the environment and no arguments, or by a link called `loopback`; everything else
 * is for people.
 */
async function main(): Promise<number> {
  const args = process.argv.slice(2);
  // Not process.argv, where Bun has names of its own.
  if (/(^|\/)loopback$/.test(process.argv0)) {
    const { LOOPBACK_VERBS } = await import("./loopback.ts");
    return await serveCni(LOOPBACK_VERBS);
  }
  if (args.length === 0 && process.env.CNI_COMMAND) return await serveCni();
  const { runCli } = await import("./cli.ts");
  return await runCli(args, createHost(), print);
}

process.exitCode = await main();
