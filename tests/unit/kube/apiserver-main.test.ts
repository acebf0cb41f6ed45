import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { openConnection } from "../../../src/kube/connection.ts";
import { watchNodeApi } from "../../../src/kube/watch.ts";
import { eventually, HASTE, openRecorder, rawNode } from "./recorder.ts";

const MAIN = `${import.meta.dir}/../../twin/apiserver-main.ts`;

test("the twin API server serves a file as a process of its own, and follows it", async () => {
  const folder = mkdtempSync(`${tmpdir()}/minicni-twin-main-`);
  const file = `${folder}/nodes.json`;
  const write = (...numbers: number[]) =>
    writeFileSync(file, JSON.stringify({ kind: "List", items: numbers.map((n) => rawNode(n)) }));
  write(1, 2);
  const child = Bun.spawn([process.execPath, MAIN, "--nodes", file], { stdout: "pipe", stderr: "inherit" });
  const heard = openRecorder();
  try {
    const { value } = await child.stdout.getReader().read();
    const { kubeconfig }: { kubeconfig: string } = JSON.parse(new TextDecoder().decode(value));
    const source = watchNodeApi(openConnection({ kubeconfig, env: {} }), heard, HASTE);
    await eventually("two Nodes", () => heard.names()?.length === 2);
    write(2, 3);
    await eventually("node-3", () => JSON.stringify(heard.names()) === '["node-2","node-3"]');
    source.close();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}, 30_000);
