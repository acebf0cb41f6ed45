import { existsSync, readFileSync } from "node:fs";
import { startChromium } from "./chromium.ts";

/** A page that is open, worked with as a person does. */
export interface Tab {
  /** What an expression says in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** A key by its name (`ArrowRight`, `Tab`), pressed and let go. */
  press(key: string): Promise<void>;
  /** Text where the focus is. */
  type(text: string): Promise<void>;
  close(): Promise<void>;
}

const KEY_CODES: Readonly<Record<string, number>> = {
  Tab: 9,
  End: 35,
  Home: 36,
  ArrowRight: 39,
  ArrowDown: 40,
};
const PATIENCE_MS = 20_000;

/** Opens a page by the DevTools protocol, on a port of the browser's choice. */
export async function openTab(url: string): Promise<Tab> {
  const { profile, end } = startChromium(["--remote-debugging-port=0", "--window-size=1280,1000", url]);
  try {
    const port = await poll(() => {
      const path = `${profile}/DevToolsActivePort`;
      return existsSync(path) ? (readFileSync(path, "utf8").split("\n")[0] ?? null) : null;
    });
    const address = await poll(async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/json/list`);
      const tabs = (await answer.json()) as { type: string; url: string; webSocketDebuggerUrl: string }[];
      return tabs.find((tab) => tab.type === "page" && tab.url === url)?.webSocketDebuggerUrl ?? null;
    });
    const send = await connect(address);
    return {
      evaluate: async (expression) => {
        const { result } = await send("Runtime.evaluate", { expression, returnByValue: true });
        return Object(result).value;
      },
      press: async (key) => {
        const windowsVirtualKeyCode = KEY_CODES[key];
        for (const type of ["rawKeyDown", "keyUp"]) {
          await send("Input.dispatchKeyEvent", { type, key, code: key, windowsVirtualKeyCode });
        }
      },
      type: async (text) => {
        await send("Input.insertText", { text });
      },
      close: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function poll<T>(look: () => T | null | Promise<T | null>): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > end) throw new Error("the browser does not open the page");
    await Bun.sleep(50);
  }
}

type Send = (method: string, params: object) => Promise<Readonly<Record<string, unknown>>>;

async function connect(address: string): Promise<Send> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, (result: Readonly<Record<string, unknown>>) => void>();
  let last = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result ?? {});
    waiting.delete(id);
  });
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  return (method, params) =>
    new Promise((resolve) => {
      last += 1;
      waiting.set(last, resolve);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
}
