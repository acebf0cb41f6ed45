import { messageOf } from "./errors.ts";
import { parseHint } from "./hint.ts";
import type { KernelHint } from "./machine.ts";
import { FALLBACK_PATH } from "./spawn.ts";

/**
 * `-rcvbuf`: room for a burst of changes, in bytes; the kernel cuts it to net.core.rmem_max. One line for each change,
 * labelled.
 */
const MONITOR = [
  "ip",
  "-oneline",
  "-rcvbuf",
  "1048576",
  "monitor",
  "label",
  "link",
  "address",
  "route",
  "rule",
];

/** What `ip monitor` says, and goes on, when the kernel had to leave out changes (rtnl_listen of lib/libnetlink.c). */
const LOST = /netlink receive error/;

/**
 * Follows the changes in our namespace by one child, `ip monitor`, so that an event costs no spawn; see
 * {@link Host.watchKernel}. Changes of the first milliseconds may be missed. Where changes were lost, the watch ends.
 * The child ends with its next line when we were killed (SIGPIPE).
 */
export function watchKernel(
  onHint: (hint: KernelHint) => void,
  onEnd: (why: string) => void,
): { close(): void } {
  let isOver = false;
  const end = (why: string) => {
    if (isOver) return;
    isOver = true;
    onEnd(why);
  };
  const child = start();
  if (typeof child === "string") {
    queueMicrotask(() => end(child));
    return {
      close: () => {
        isOver = true;
      },
    };
  }
  const said: string[] = [];
  const told = eachLine(child.stdout, (line) => {
    const hint = isOver ? null : parseHint(line);
    if (hint !== null) onHint(hint);
  });
  const complained = eachLine(child.stderr, (line) => {
    said.push(line);
    if (!LOST.test(line)) return;
    child.kill("SIGKILL");
    end(`changes were lost: ${line}`);
  });
  Promise.all([told, complained, child.exited]).then(
    () => end([`\`ip monitor\` ended (${child.signalCode ?? child.exitCode})`, ...said].join("; ")),
    (error: unknown) => {
      child.kill("SIGKILL");
      end(messageOf(error));
    },
  );
  return {
    close: () => {
      isOver = true;
      child.kill("SIGKILL");
    },
  };
}

/** The child, or why there is none. */
function start() {
  const path = process.env.PATH || FALLBACK_PATH;
  try {
    return Bun.spawn({
      cmd: MONITOR,
      env: { ...process.env, LC_ALL: "C", PATH: path },
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    return `can't run \`ip\`: ${messageOf(error)} (PATH=${path})`;
  }
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
}
