import { SUPPORTED_VERSIONS } from "../cni/version.ts";
import { EXECUTORS } from "../host/engine.ts";
import type { Host } from "../host/machine.ts";
import { printError } from "../host/stdout.ts";
import { observeTerminal } from "../host/terminal.ts";
import { openScreen, type Screen } from "./output/screen.ts";
import { planDryRun, runPlan } from "./plan.ts";
import { VERSION } from "./version.ts";

const USAGE = `minicni: a Kubernetes pod network in one binary

A container runtime calls it with CNI_COMMAND in the environment and the network configuration on stdin.
CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}

  minicni agent --node NAME           keep this node's routes, tunnels and rules right (see: minicni agent --help)
  minicni install [--dry-run]         put the plugins where runtimes look for them (see: minicni install --help)
  minicni uninstall [--dry-run]       remove all that minicni made on this node (see: minicni uninstall --help)
  minicni doctor                      what is wrong with this node's network, why, and the fix (see: minicni doctor --help)
  minicni bench all|alloc|routes|cni|network
                                      how fast it is here, beside what others do (see: minicni bench --help)
  minicni lab demo                    a cluster of virtual nodes on this machine: up, test, down
  minicni lab up|test|down            the same, step by step, and agents, nodes, pods to play with (see: minicni lab --help)
  minicni plan attach --config F --netns PATH [--ifname eth0] [--container-id ID]
                                      print the commands an ADD would run; change nothing
  CNI_COMMAND=ADD minicni --dry-run   the same from a runtime's environment and stdin
  minicni --version
`;

/** Commands for people, loaded off the CNI path. Returns the exit code: 0 fine, 1 failed, 2 misused. */
export async function runCli(args: string[], host: Host, print: (text: string) => void): Promise<number> {
  const [command, ...rest] = args;
  const executor = EXECUTORS.find((name) => name === process.env.MINICNI_EXECUTOR);
  if (executor !== undefined) host.useExecutor(executor);
  switch (command) {
    case "lab": {
      const { runLab } = await import("./lab/index.ts");
      return runLab(rest, host, selfArgv(), print);
    }
    case "agent": {
      const { runAgentCommand } = await import("./agent/index.ts");
      return runAgentCommand(rest, host, print);
    }
    case "install": {
      const [source = "", script] = selfArgv();
      if (script !== undefined) {
        host.log("install: this is the source, not a binary: run `make build`, then dist/minicni install");
        return 1;
      }
      const { runInstall } = await import("./install/index.ts");
      return runInstall(rest, host, source, print);
    }
    case "uninstall": {
      const { runUninstall } = await import("./install/uninstall.ts");
      return runUninstall(rest, host, print);
    }
    case "launcher": {
      const { runLauncher } = await import("./launcher.ts");
      return runLauncher(rest, host, print);
    }
    case "calls": {
      const { runCalls } = await import("./agent/calls-alone.ts");
      return runCalls(rest, host, print);
    }
    case "doctor": {
      const { runDoctor } = await import("./doctor/index.ts");
      return runDoctor(rest, host, screenOf(print));
    }
    case "bench": {
      const { runBench } = await import("./bench/index.ts");
      return runBench(rest, host, selfArgv(), print);
    }
    case "plan":
      return runPlan(rest, host, print);
    case "--dry-run":
      return planDryRun(process.env, host, print);
    case "--version":
    case "version":
      print(`minicni ${VERSION}\n`);
      return 0;
    case "--help":
    case "-h":
    case "help":
      print(USAGE);
      return 0;
    case undefined:
      // SPEC leaves it open; the Go library tells about itself on stderr and succeeds.
      host.log(USAGE.trimEnd().replace("minicni: ", ""));
      return 0;
    default:
      host.log(`unknown command "${command}"; see: minicni --help`);
      return 2;
  }
}

function screenOf(print: (text: string) => void): Screen {
  const stdout = observeTerminal(1);
  return openScreen({ print, printError, stdout, stderr: observeTerminal(2) }, process.env);
}

/** How to run ourselves again: the compiled binary, or Bun with our entry file. */
function selfArgv(): string[] {
  const script = process.argv[1];
  const isCompiled = script === undefined || script.startsWith("/$bunfs/");
  return isCompiled ? [process.execPath] : [process.execPath, script];
}
