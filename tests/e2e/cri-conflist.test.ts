import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { createPublisher } from "../../src/entry/agent/publish.ts";
import { createHost } from "../../src/host/linux.ts";
import { waitFor } from "../kernel/agent.ts";
import { Cri, criFault } from "./cri.ts";

setDefaultTimeout(60_000);

const FAULT = criFault();
if (FAULT !== null) process.stderr.write(`skipped: containerd's CRI: ${FAULT}\n`);

/** What lies in the folder when containerd starts; only that it can be loaded matters. */
const FIRST = { cniVersion: "1.0.0", name: "first", plugins: [{ type: "minicni", ipam: {} }] };

let cri: Cri;
beforeAll(async () => {
  if (FAULT === null) cri = await Cri.start(FIRST);
});
afterAll(async () => {
  await cri?.machine.stop();
});

describe.skipIf(FAULT !== null)("containerd's watch of the folder", () => {
  test("takes up the conflist that the agent writes, and keeps it while the agent writes nothing", async () => {
    const folder = `${cri.machine.work}/net.d`;
    rmSync(`${folder}/10-minicni.conflist`);
    await waitFor("no network", async () => !(await cri.networkReady()));
    const settings = { stateDir: "/run/minicni", dataDir: `${cri.machine.work}/lib`, confDir: folder };
    const publisher = createPublisher(createHost(), settings);
    expect(publisher.conflist()).toEqual({ changed: true, fault: null, before: [] });
    await waitFor("the network of the agent's conflist", () => cri.networkReady());
    expect(publisher.conflist()).toEqual({ changed: false, fault: null, before: [] });
    expect(readdirSync(folder)).toEqual(["10-minicni.conflist"]);
  });
});
