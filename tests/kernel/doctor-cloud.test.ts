import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

/** What an EC2 machine's firmware says. */
function makeAws(node: DoctorNode): void {
  node.write("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
  node.write("/sys/class/dmi/id/board_asset_tag", "i-0abc12de34f567890\n");
}

test("A9 warns of direct routes that the agent made on AWS, with the command for this instance", async () => {
  const agent = new AgentNode();
  agent.nodes(N1, N2, N3);
  const node = new DoctorNode(agent.box);
  const running = await agent.up();
  makeAws(node);
  await agent.until(
    "it is found",
    () => node.lines("A9", "--no-probe")[0]?.startsWith("WARN") === true,
    running,
  );
  const [found] = node.findings("A9", "--no-probe");
  expect(found?.message).toBe(
    "AWS: peer n2 is reached by direct routes (backend auto), which this cloud may drop",
  );
  expect(found?.evidence[0]).toBe("/sys/class/dmi/id/sys_vendor: Amazon EC2");
  expect(found?.fix[0]).toBe(
    "aws ec2 modify-instance-attribute --instance-id i-0abc12de34f567890 --no-source-dest-check",
  );
});

test("A9 has nothing to warn of where all peers are reached by a tunnel", async () => {
  const agent = new AgentNode();
  agent.nodes(N1, N2, N3);
  const node = new DoctorNode(agent.box);
  makeAws(node);
  const running = await agent.up("--backend", "vxlan");
  const line = () => node.lines("A9", "--no-probe")[0] ?? "";
  await agent.until("the agent's report is there", () => line().startsWith("PASS"), running);
  expect(line()).toBe("PASS A9 AWS: no peer is reached by a direct route (backend vxlan)");
});

test("A9 is skipped where no agent has run, and passes on a machine of one's own", () => {
  const node = new DoctorNode();
  makeAws(node);
  expect(node.lines("A9", "--no-probe")).toEqual([expect.stringMatching(/^SKIP A9 cloud: this is AWS/)]);
  node.write("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
  expect(node.lines("A9", "--no-probe")).toEqual([expect.stringMatching(/^PASS A9 no cloud/)]);
});
