import type { Host } from "../host/machine.ts";
import type { CommandLine } from "./output/command.ts";
import type { Screen } from "./output/screen.ts";

/** What a command gets. */
export interface Call {
  readonly args: readonly string[];
  readonly host: Host;
  readonly print: (text: string) => void;
  /** Looks at the terminal: only for those that ask. */
  readonly screen: () => Screen;
  /** How to run ourselves again: the compiled binary, or Bun with our entry file. */
  readonly self: readonly string[];
}

/** A command for people. */
export interface CliCommand {
  readonly name: string;
  /** In `minicni --help`; null: for ourselves alone. */
  readonly group: "see" | "run" | "try" | null;
  readonly summary: string;
  /** Returns the exit code. */
  readonly run: (call: Call) => Promise<number>;
  /** Its command line, for completion and manual; absent: none to tell of. */
  readonly words?: (call: Call) => Promise<CommandLine>;
}

const nothing = () => undefined;
/** All that look, in one piece (see entry/admin/index.ts). */
const admin = () => import("./admin/index.ts");

/** Every command, loaded when it is called: none pays for another, and the CNI path for none. */
export const COMMANDS: readonly CliCommand[] = [
  {
    name: "status",
    group: "see",
    summary: "this node at a glance; --cluster: a row a node",
    run: async ({ args, host, screen }) => (await admin()).runStatus(args, host, screen()),
    words: async () => (await admin()).createStatusCommand(),
  },
  {
    name: "doctor",
    group: "see",
    summary: "what is wrong with this node's network, why, and the fix",
    run: async ({ args, host, screen }) => (await admin()).runDoctor(args, host, screen()),
    words: async () => (await admin()).createDoctorCommand(),
  },
  {
    name: "plan",
    group: "see",
    summary: "what the agent would change now; plan attach: what an ADD would run",
    run: async ({ args, host, screen }) => (await admin()).runPlan(args, host, screen()),
    words: async ({ host, print }) => (await admin()).createPlanCommand(host, print, nothing),
  },
  {
    name: "ipam",
    group: "see",
    summary: "show, map, verify, release: who holds which address",
    run: async ({ args, host, screen }) => (await admin()).runIpam(args, host, screen()),
    words: async () => (await admin()).createIpamCommand(),
  },
  {
    name: "trace",
    group: "see",
    summary: "one ADD, CHECK and DEL, real or simulated, with the time of each step",
    run: async ({ args, host, self, screen }) => (await admin()).runTrace(args, host, self, screen()),
    words: async () => (await admin()).createTraceCommand(),
  },
  {
    name: "connectivity",
    group: "see",
    summary: "whether nodes and pods reach each other, with large packets too",
    run: async ({ args, host, screen }) => (await admin()).runConnectivity(args, host, screen()),
    words: async () => (await admin()).createConnectivityCommand(),
  },
  {
    name: "agent",
    group: "run",
    summary: "keep this node's routes, tunnels and rules right",
    run: async ({ args, host, print }) =>
      (await import("./agent/index.ts")).runAgentCommand(args, host, print),
    words: async () => (await admin()).createAgentCommand(),
  },
  {
    name: "install",
    group: "run",
    summary: "put the plugins where runtimes look for them",
    run: async ({ args, host, print, self: [source = "", script] }) => {
      if (script !== undefined) {
        host.log("install: this is the source, not a binary: run `make build`, then dist/minicni install");
        return 1;
      }
      return (await import("./install/index.ts")).runInstall(args, host, source, print);
    },
    words: async () => (await admin()).createInstallCommand(),
  },
  {
    name: "uninstall",
    group: "run",
    summary: "remove all that minicni made on this node; --dry-run shows it first",
    run: async ({ args, host, print }) =>
      (await import("./install/uninstall.ts")).runUninstall(args, host, print),
    words: async () => (await admin()).createUninstallCommand(),
  },
  {
    name: "lab",
    group: "try",
    summary: "a cluster of virtual nodes on this machine: demo, or up, test, down",
    run: async ({ args, host, self, print }) =>
      (await import("./lab/index.ts")).runLab(args, host, self, print),
    words: async (call) => (await import("./lab/index.ts")).createLabCommand(call, nothing),
  },
  {
    name: "bench",
    group: "try",
    summary: "how fast it is here, beside what others do",
    run: async ({ args, host, self, print }) =>
      (await import("./bench/index.ts")).runBench(args, host, self, print),
    words: async (call) => (await import("./bench/index.ts")).createBenchCommand(call, nothing),
  },
  {
    name: "completion",
    group: "run",
    summary: "a script by which bash, zsh or fish completes our commands",
    run: async (call) => (await admin()).runCompletion(call),
    words: async () => (await admin()).createCompletionCommand(),
  },
  {
    name: "man",
    group: "run",
    summary: "the manual page: minicni man | man -l -",
    run: async (call) => (await admin()).runManual(call),
    words: async () => (await admin()).createManualCommand(),
  },
  {
    name: "launcher",
    group: null,
    summary: "writes the launcher, as a printed plan of install names it",
    run: async ({ args, host, print }) => (await import("./launcher.ts")).runLauncher(args, host, print),
  },
  {
    name: "calls",
    group: null,
    summary: "serves launchers, and nothing else of an agent",
    run: async ({ args, host, print }) =>
      (await import("./agent/calls-alone.ts")).runCalls(args, host, print),
  },
];
