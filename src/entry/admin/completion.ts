import { Argument, type Command } from "commander";
import type { Call } from "../commands.ts";
import { createCommand, runAction } from "../output/command.ts";
import { formatCompletion, SHELLS, type Shell } from "../output/completion.ts";
import { loadWords } from "./tree.ts";

/** The command line of `minicni completion`, without an action. */
export function createCompletionCommand(): Command {
  return createCommand("completion", "prints a script by which a shell completes our commands and options", [
    ["source <(minicni completion bash)", "for this shell"],
    ["minicni completion bash > /usr/share/bash-completion/completions/minicni", "for all users"],
    ["minicni completion zsh > /usr/local/share/zsh/site-functions/_minicni", "zsh"],
    ["minicni completion fish > ~/.config/fish/completions/minicni.fish", "fish"],
  ]).addArgument(new Argument("<shell>", "which").choices(SHELLS));
}

/** `minicni completion SHELL`. Returns the exit code: 0 printed, 2 misused. */
export function runCompletion(call: Call): Promise<number> {
  const { args, host, print } = call;
  const command = createCompletionCommand();
  return runAction(command, args, host, { print, width: null }, async () => {
    print(formatCompletion(command.processedArgs[0] as Shell, await loadWords(call)));
    return 0;
  });
}
