import { readFileSync, writeSync } from "node:fs";
import { createHost } from "../host/linux.ts";
import { answerCni } from "./cni.ts";

/** Writes all of it: a pipe may take less than we offer. */
function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

/** A runtime calls with CNI_COMMAND in the environment and no arguments; everything else is for people. */
async function main(): Promise<number> {
  const [command] = process.argv.slice(2);
  if (command === undefined && process.env.CNI_COMMAND !== undefined) {
    const answer = answerCni(process.env, () => readFileSync(0, "utf8"), createHost());
    if (answer.stdout !== "") print(`${answer.stdout}\n`);
    return answer.exitCode;
  }
  const { runCli } = await import("./cli.ts");
  return runCli(process.argv.slice(2), createHost(), print);
}

process.exitCode = await main();
