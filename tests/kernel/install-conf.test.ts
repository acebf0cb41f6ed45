import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { GO_CONF, InstallNode, inodes } from "./install-node.ts";
import { destroySandboxes, must } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

let node: InstallNode;
beforeEach(() => {
  node = new InstallNode();
});

describe("configurations of others", () => {
  test("those that sort before ours are named with what they are, and none is touched", () => {
    const flannel = {
      cniVersion: "0.3.1",
      name: "cbr0",
      plugins: [{ type: "flannel" }, { type: "portmap" }],
    };
    writeFileSync(`${node.conf}/05-flannel.conflist`, JSON.stringify(flannel));
    writeFileSync(`${node.conf}/07-torn.conf`, "{");
    writeFileSync(`${node.conf}/99-later.conf`, JSON.stringify({ type: "bridge" }));
    writeFileSync(
      `${node.conf}/10-minicni.conf`,
      JSON.stringify({ name: "x", type: "bridge", subnet: "10.1.0.0/16" }),
    );
    const before = inodes(node.conf);
    const { exitCode, stderr } = node.install();
    expect(exitCode).toBe(0);
    expect(inodes(node.conf)).toEqual(before);
    expect(stderr).toContain(`05-flannel.conflist (network "cbr0", plugins flannel, portmap)`);
    expect(stderr).toContain(`mv ${node.conf}/05-flannel.conflist ${node.conf}/05-flannel.conflist.disabled`);
    expect(stderr).toContain("07-torn.conf is no network configuration that can be read");
    expect(stderr).toContain(`10-minicni.conf (network "x", plugin bridge)`);
    expect(stderr).not.toContain("99-later");
  });

  test("that of Go minicni is renamed behind its plugin's replacement, and told", () => {
    const text = JSON.stringify({ ...GO_CONF, mtu: 1400 });
    writeFileSync(`${node.conf}/10-minicni.conf`, text);
    writeFileSync(`${node.bin}/minicni`, "the Go plugin", { mode: 0o755 });
    const { exitCode, stdout, stderr } = node.install();
    expect(exitCode).toBe(0);
    expect(stdout.indexOf("install -m")).toBeLessThan(stdout.indexOf("mv -n"));
    expect(stderr).toContain("subnet 10.244.1.0/24, bridge minicni0");
    expect(stderr).toContain("mtu=1400");
    expect(readdirSync(node.conf)).toEqual(["10-minicni.conf.replaced"]);
    expect(readFileSync(`${node.conf}/10-minicni.conf.replaced`, "utf8")).toBe(text);
    expect(readFileSync(`${node.bin}/minicni.replaced`, "utf8")).toBe("the Go plugin");
    expect(node.isWhole()).toBe(true);
    // Its DaemonSet, still there, writes it once more.
    writeFileSync(`${node.conf}/10-minicni.conf`, JSON.stringify(GO_CONF));
    expect(node.install().exitCode).toBe(0);
    expect(readdirSync(node.conf)).toEqual(["10-minicni.conf.replaced"]);
    expect(readFileSync(`${node.bin}/minicni.replaced`, "utf8")).toBe("the Go plugin");
  });

  test("that of Go minicni stays where its plugin can't be replaced", () => {
    node.bin = `${node.box.dir}/disk`;
    node.box.mountTmpfs(node.bin, "size=8m");
    writeFileSync(`${node.conf}/10-minicni.conf`, JSON.stringify(GO_CONF));
    writeFileSync(`${node.bin}/minicni`, "the Go plugin", { mode: 0o755 });
    const before = [inodes(node.conf), inodes(node.bin)];
    expect(node.install().exitCode).toBe(1);
    expect([inodes(node.conf), inodes(node.bin)]).toEqual(before);
  });

  test("in the form of Go minicni a pod gets an address of its subnet, a default route and the way back", () => {
    const pod = node.box.pod();
    const old = { ...GO_CONF, stateDir: node.box.stateDir, dataDir: node.box.dataDir };
    const done = node.box.call("ADD", pod, old);
    expect(JSON.parse(done.stdout)).toMatchObject({
      cniVersion: "0.1.0",
      ip4: { ip: "10.244.1.2/24", gateway: "10.244.1.1" },
    });
    expect(must("nsenter", `--net=${pod.netns}`, "ip", "route")).toContain("default via 10.244.1.1");
    expect(node.box.pings(pod.netns, "10.244.1.1")).toBe(true);
    expect(node.box.call("DEL", pod, old).exitCode).toBe(0);
    expect(node.box.reservations("minicni")).toEqual([]);
  });
});
