import { afterEach, describe, expect, test } from "bun:test";
import { openMonitor } from "../../../../src/entry/agent/monitor.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const monitor of opened.splice(0)) monitor.close();
});

function stage() {
  const host = createFakeMachine("/nowhere");
  const told: string[] = [];
  const state = new Map<string, string | null>();
  const journal = {
    info: () => undefined,
    warn: () => undefined,
    state: (key: string, fault: string | null) => void state.set(key, fault),
  };
  const heartbeat = { beat: () => void told.push("beat") };
  const monitor = openMonitor(
    { host, journal, heartbeat },
    "minicni0",
    () => told.push("look"),
    () => told.push("forget"),
  );
  opened.push(monitor);
  return { host, told, state, monitor };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo() && tries < 400; tries++) await Bun.sleep(10);
  expect(isSo()).toBe(true);
}

describe("the monitor", () => {
  test("looks at once, since nobody did before, and then at what calls for it", () => {
    const { host, told } = stage();
    expect(told).toEqual(["look", "beat"]);
    host.hint({ kind: "route", dev: "eth0" });
    host.hint({ kind: "link", dev: "mcni0123456789a" });
    host.hint({ kind: "rule" });
    expect(told.slice(2)).toEqual(["look", "forget", "look"]);
  });

  test("is opened again when it ends, looks then, and says so until it stands", async () => {
    const { host, told, state, monitor } = stage();
    host.endWatch("killed");
    expect(state.get("monitor")).toContain("killed");
    monitor.beat();
    expect(told.filter((it) => it === "beat")).toHaveLength(1);
    await until(() => told.filter((it) => it === "look").length === 2);
    monitor.beat();
    expect(state.get("monitor")).toContain("killed");
    await until(() => {
      monitor.beat();
      return state.get("monitor") === null;
    });
    host.hint({ kind: "route", dev: "eth0" });
    expect(told.filter((it) => it === "look")).toHaveLength(3);
  });

  test("closed, neither looks nor comes back", async () => {
    const { host, told, monitor } = stage();
    host.endWatch("killed");
    monitor.close();
    await Bun.sleep(700);
    host.hint({ kind: "route", dev: "eth0" });
    expect(told).toEqual(["look", "beat"]);
  });
});
