import { SUPPORTED_VERSIONS } from "../cni/version.ts";
import { EXECUTORS } from "../host/engine.ts";
import type { Host } from "../host/machine.ts";
import { printError } from "../host/stdout.ts";
import { observeTerminal } from "../host/terminal.ts";
// At once, not when it is called: what this door leads to beside the CNI path's own modules cuts those into pieces (`bun
// build --splitting`), and a call of the plugin pays for each: with all of them in here it loads 10, else 30.
import { planDryRun } from "./admin/plan/attach.ts";
import { type Call, type CliCommand, COMMANDS } from "./commands.ts";
import { openScreen, type Screen } from "./output/screen.ts";
import { similarTo } from "./output/similar.ts";
import { VERSION } from "./version.ts";

const GROUPS = [
  ["see", "Look (nothing is changed on the node; trace, connectivity and ipam release say what they do):"],
  ["run", "Run:"],
  ["try", "Try out:"],
] as const;
const ALONE = ["--help", "-h", "help", "--version", "version", "--dry-run"];

/** Commands for people, loaded off the CNI path. Returns the exit code: 0 fine, 1 failed, 2 misused. */
export async function runCli(args: string[], host: Host, print: (text: string) => void): Promise<number> {
  const [name, ...rest] = args;
  const executor = EXECUTORS.find((known) => known === process.env.MINICNI_EXECUTOR);
  if (executor !== undefined) host.useExecutor(executor);
  switch (name) {
    case "--dry-run":
      return planDryRun(process.env, host, print);
    case "--version":
    case "version":
      print(`minicni ${VERSION}\n`);
      return 0;
    case "--help":
    case "-h":
    case "help":
      if (rest[0] === undefined) print(formatHelp());
      else return runCli([...rest, "--help"], host, print);
      return 0;
    case undefined:
      // SPEC leaves it open; the Go library tells about itself on stderr and succeeds.
      host.log(formatHelp().trimEnd().replace("minicni: ", ""));
      return 0;
  }
  const command = COMMANDS.find((known) => known.name === name);
  if (command === undefined) return refuse(name, host);
  return command.run(callOf(rest, command.group === "see" ? tellingOnce(host) : host, print));
}

function callOf(args: readonly string[], host: Host, print: (text: string) => void): Call {
  return { args, host, print, screen: () => screenOf(print), self: selfArgv() };
}

/** What several looks at the same thing have to say is said once. */
function tellingOnce(host: Host): Host {
  const told = new Set<string>();
  const log = (line: string) => {
    if (told.has(line)) return;
    told.add(line);
    host.log(line);
  };
  return { ...host, log };
}

/** In the words that commander has for commands below a command. */
function refuse(name: string, host: Host): number {
  const names = COMMANDS.flatMap((known) => (known.group === null ? [] : [known.name]));
  const similar = similarTo(name, [...names, ...ALONE]);
  const hint =
    similar.length === 0
      ? "see: minicni --help"
      : similar.length === 1
        ? `(Did you mean ${similar[0]}?)`
        : `(Did you mean one of ${similar.join(", ")}?)`;
  host.log(`error: unknown command '${name}'\n${hint}`);
  return 2;
}

function formatHelp(): string {
  const column = Math.max(...COMMANDS.map(({ name }) => name.length)) + 2;
  const line = ({ name, summary }: CliCommand) => `  ${name.padEnd(column)}${summary}`;
  const groups = GROUPS.map(([group, title]) => {
    const commands = COMMANDS.filter((command) => command.group === group);
    return [title, ...commands.map(line)].join("\n");
  });
  return `minicni: a Kubernetes pod network in one binary

A container runtime calls it with CNI_COMMAND in the environment and the network configuration on stdin.
CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}

${groups.join("\n\n")}

minicni COMMAND --help has the options of each, with examples; minicni man is the manual.
CNI_COMMAND=ADD minicni --dry-run prints what a runtime's call would do; minicni --version.
`;
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
