import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

test("no pod comes to a node whose tunnel has no port, which is told with the way out", async () => {
  const node = new AgentNode();
  // N3 is behind a router.
  node.nodes(N1, N2, N3);
  node.ip("link", "add", "theirs", "type", "vxlan", "id", "1", "local", "10.9.0.1", "dstport", "8472", "gbp");
  node.ip("link", "set", "theirs", "up");
  const agent = node.start();
  const told = "UDP port 8472 is held by a program, or by another VXLAN device with other extensions";
  await node.until("readiness says so", () => agent.page("/readyz").includes(told), agent);
  await node.until("and node.json", () => String(node.published().reason).includes(told), agent);
  expect(agent.page("/readyz")).toContain("MINICNI_VXLAN_PORT");
  expect(existsSync(node.conflist)).toBe(false);
  node.ip("link", "del", "theirs");
  await agent.ready();
  expect(existsSync(node.conflist)).toBe(true);
});
