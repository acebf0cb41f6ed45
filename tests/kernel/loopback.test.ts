import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { SUPPORTED_VERSIONS } from "../../src/cni/version.ts";
import { BINARY, destroySandboxes, type Finished, must, type Pod, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

let box: Sandbox;
let plugin: string;
beforeAll(() => {
  box = new Sandbox();
  mkdirSync(`${box.dir}/bin`);
  plugin = `${box.dir}/bin/loopback`;
  symlinkSync(BINARY, plugin);
});

function call(command: string, pod: Pod, conf: Readonly<Record<string, unknown>>): Finished {
  const stdin = JSON.stringify({ name: "cni-loopback", type: "loopback", ...conf });
  return run(["nsenter", `--net=${box.netns}`, plugin], {
    stdin,
    env: box.variables(command, { ifname: "lo", ...pod }),
  });
}

/** A pod whose lo is down, as a runtime hands it over. */
function freshPod(): Pod {
  const pod = box.pod();
  must("nsenter", `--net=${pod.netns}`, "ip", "link", "set", "lo", "down");
  return pod;
}

const flags = (pod: Pod) => must("nsenter", `--net=${pod.netns}`, "ip", "-o", "link", "show", "lo");
const isUp = (pod: Pod) => /<[^>]*\bUP\b/.test(flags(pod));

describe("called as loopback", () => {
  test.each([...SUPPORTED_VERSIONS])(
    "ADD in version %s brings lo up and says its addresses",
    (cniVersion) => {
      const pod = freshPod();
      const done = call("ADD", pod, { cniVersion });
      expect(done).toMatchObject({ exitCode: 0, stderr: "" });
      expect(isUp(pod)).toBe(true);
      const isOld = cniVersion === "0.1.0" || cniVersion === "0.2.0";
      const withVersion = cniVersion.startsWith("0.");
      const expected = isOld
        ? { cniVersion, ip4: { ip: "127.0.0.1/8" }, ip6: { ip: "::1/128" }, dns: {} }
        : {
            cniVersion,
            interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: pod.netns }],
            ips: [
              { ...(withVersion ? { version: "4" } : {}), interface: 0, address: "127.0.0.1/8" },
              { ...(withVersion ? { version: "6" } : {}), interface: 0, address: "::1/128" },
            ],
            ...(withVersion ? { dns: {} } : {}),
          };
      expect(JSON.parse(done.stdout)).toEqual(expected);
    },
  );

  test("a sandbox without IPv6 gets a result without ::1", () => {
    const pod = freshPod();
    must("nsenter", `--net=${pod.netns}`, "sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1");
    const result = JSON.parse(call("ADD", pod, { cniVersion: "1.0.0" }).stdout);
    expect(result.ips).toEqual([{ interface: 0, address: "127.0.0.1/8" }]);
  });

  test("what a plugin before it gave is passed on as it is", () => {
    const pod = freshPod();
    const prevResult = {
      cniVersion: "1.0.0",
      interfaces: [{ name: "eth7", sandbox: pod.netns }],
      ips: [{ interface: 0, address: "10.1.2.3/24" }],
    };
    const done = call("ADD", pod, { cniVersion: "1.0.0", prevResult });
    expect(JSON.parse(done.stdout)).toEqual(prevResult);
    expect(isUp(pod)).toBe(true);
  });

  test("CHECK tells an lo that is down", () => {
    const pod = freshPod();
    const conf = { cniVersion: "1.0.0" };
    const down = call("CHECK", pod, conf);
    expect(down.exitCode).toBe(1);
    expect(JSON.parse(down.stdout)).toMatchObject({ code: 999, msg: "loopback interface is down" });
    expect(call("ADD", pod, conf).exitCode).toBe(0);
    expect(call("CHECK", pod, conf)).toMatchObject({ exitCode: 0, stdout: "" });
  });

  test("DEL leaves lo up, and is well with a namespace that is gone", () => {
    const pod = freshPod();
    const conf = { cniVersion: "0.3.1" };
    call("ADD", pod, conf);
    expect(call("DEL", pod, conf)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(isUp(pod)).toBe(true);
    box.removePod(pod);
    expect(call("DEL", pod, conf).exitCode).toBe(0);
    expect(call("DEL", { ...pod, netns: "" }, conf).exitCode).toBe(0);
  });

  test("GC and STATUS have nothing to say; VERSION says what is spoken", () => {
    const pod = box.pod();
    for (const command of ["GC", "STATUS"]) {
      expect(call(command, pod, { cniVersion: "1.1.0" })).toMatchObject({ exitCode: 0, stdout: "" });
    }
    const { supportedVersions } = JSON.parse(call("VERSION", pod, { cniVersion: "1.0.0" }).stdout);
    expect(supportedVersions).toEqual([...SUPPORTED_VERSIONS]);
  });

  test("errors are the specification's", () => {
    const pod = freshPod();
    const codeOf = (done: Finished): unknown => JSON.parse(done.stdout).code;
    expect(codeOf(call("ADD", pod, { cniVersion: "9.9.9" }))).toBe(1);
    expect(codeOf(call("ADD", { ...pod, netns: "/run/netns/none" }, { cniVersion: "1.0.0" }))).toBe(8);
    expect(codeOf(call("STATUS", pod, { cniVersion: "1.0.0" }))).toBe(1);
    expect(codeOf(run([plugin], { env: { CNI_COMMAND: "ADD" } }))).toBe(4);
    expect(isUp(pod)).toBe(false);
  });
});
