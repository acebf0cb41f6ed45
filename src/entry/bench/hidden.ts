import { type Command, Option } from "commander";
import { PATH_BACKENDS, type PathBackend } from "./backends.ts";
import type { BenchProgram } from "./index.ts";
import { ENGINES, type EngineName } from "./routes/engines.ts";
import { PROGRAMMERS, type Programmer } from "./routes/programmer-names.ts";

/**
 * Commands by which the benchmarks run themselves in processes and namespaces of their own; no person needs them. What
 * they measure is loaded by them alone: in a fresh process loading it is part of what is measured.
 */
export function addHiddenCommands(program: Command, { host, print }: BenchProgram): void {
  const add = (name: string, description: string) =>
    program.command(name, { hidden: true }).description(description);
  add("cold-alloc", "the first allocation of this process")
    .requiredOption("--engine <name>")
    .action(async ({ engine }: { engine: string }) => {
      const { runColdAlloc } = await import("./alloc/cold.ts");
      print(await runColdAlloc(engine));
    });
  add("warm-alloc", "one engine's operations, warm, by a task on stdin").action(async () => {
    const { runWarmAlloc } = await import("./alloc/warm-turn.ts");
    print(await runWarmAlloc(await Bun.stdin.text()));
  });
  add("warm-routes", "one thing of the routes, warm, by a task on stdin").action(async () => {
    const { runWarmRoutes } = await import("./routes/warm-turn.ts");
    print(await runWarmRoutes(await Bun.stdin.text()));
  });
  add("cold-routes", "the first route diff of this process")
    .addOption(new Option("--engine <name>").choices(ENGINES).makeOptionMandatory())
    .requiredOption("--routes <number>", "an even number", Number)
    .action(async ({ engine, routes }: { engine: EngineName; routes: number }) => {
      const { runColdRoutes } = await import("./routes/cold.ts");
      print(await runColdRoutes(engine, routes));
    });
  add("pass", "an agent's passes in the namespace we are in, with a NodeList on stdin")
    .addOption(new Option("--backend <name>").choices(PATH_BACKENDS).makeOptionMandatory())
    .action(async ({ backend }: { backend: PathBackend }) => {
      const { createSubject, measurePasses } = await import("./routes/pass.ts");
      print(
        JSON.stringify(await measurePasses(await Bun.stdin.text(), backend, createSubject(host, backend))),
      );
    });
  add(
    "memory",
    "the most memory of a burst: of all that one process starts, and of some others, until SIGTERM",
  )
    .requiredOption("--root <pid>", "whose children and theirs count, those that begin from now on", Number)
    .option("--standing <pid>", "one that runs already, which counts with its children", Number)
    .action(async (task: { root: number; standing?: number }) => {
      const { watchMemory } = await import("./cni/memory.ts");
      await watchMemory(task, print);
    });
  add("program-routes", "routes to all of a NodeList on stdin, in the namespace we are in")
    .addOption(new Option("--by <way>").choices(PROGRAMMERS).makeOptionMandatory())
    .action(async ({ by }: { by: Programmer }) => {
      const { programRoutes } = await import("./routes/programmers.ts");
      print(JSON.stringify(await programRoutes(await Bun.stdin.text(), by, host)));
    });
  add("probe", "one end of a request/response probe in the namespace we are in")
    .addOption(new Option("--role <name>").choices(["server", "client"]).makeOptionMandatory())
    .requiredOption("--address <address>")
    .requiredOption("--port <number>", "of the server", Number)
    .addOption(new Option("--what <protocol>").choices(["udp", "tcp"]).makeOptionMandatory())
    .requiredOption("--milliseconds <number>", "how long", Number)
    .action(async (options) => {
      const { runProbe } = await import("./network/probe.ts");
      print(await runProbe(options));
    });
}
