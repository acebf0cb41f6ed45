import { expect } from "bun:test";
import { run, Sandbox } from "./sandbox.ts";

/** A node with one link `v0` (10.0.0.1/24, fd00::1/64) and its other end. */
export function nodeWith(lines: readonly string[], bridgeLines: readonly string[] = []): Sandbox {
  const box = new Sandbox();
  const base = [
    "link add v0 type veth peer name v1",
    "link set v1 addrgenmode none up",
    "link set v0 addrgenmode none up",
    "addr add 10.0.0.1/24 dev v0",
    "addr add fd00::1/64 dev v0 nodad",
  ];
  batch(box, "ip", [...base, ...lines]);
  batch(box, "bridge", bridgeLines);
  return box;
}

function batch(box: Sandbox, tool: string, lines: readonly string[]): void {
  const done = run(["nsenter", `--net=${box.netns}`, tool, "-batch", "-"], {
    stdin: `${lines.join("\n")}\n`,
  });
  expect(done).toMatchObject({ exitCode: 0, stderr: "" });
}

/** What one tool prints as JSON. */
export function json<T>(box: Sandbox, ...argv: string[]): T[] {
  const text = box.node(...argv);
  const rows: T[] = JSON.parse(text.trim() === "" ? "[]" : text);
  return rows;
}

/** The index of each link of the node by name. */
export function linkIndexes(box: Sandbox): Map<string, number> {
  const links = json<{ readonly ifname: string; readonly ifindex: number }>(box, "ip", "-j", "link", "show");
  return new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]));
}
