import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, existsSync, readdirSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import type { Finding } from "../../src/doctor/finding.ts";
import { formatConflist } from "../../src/topology/conflist.ts";
import { DoctorNode } from "./doctor.ts";
import { BINARY, destroySandboxes, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const RUNTIME = `${import.meta.dir}/watching-runtime-main.ts`;

/** With the plugin, loopback and the conflist where they belong. */
function installed(): DoctorNode {
  const node = new DoctorNode();
  cpSync(BINARY, `${node.binDir}/minicni-standalone`);
  chmodSync(`${node.binDir}/minicni-standalone`, 0o755);
  for (const name of ["minicni", "loopback"]) symlinkSync("minicni-standalone", `${node.binDir}/${name}`);
  writeFileSync(`${node.confDir}/10-minicni.conflist`, formatConflist(node.box.stateDir));
  return node;
}

/** No process of the machine can be seen: a real runtime of another test is none of ours. */
function alone(argv: readonly string[]): Finding[] {
  const done = run(["unshare", "--pid", "--fork", "--mount-proc", ...argv]);
  if (done.exitCode !== 0 && done.exitCode !== 1) throw new Error(`exit ${done.exitCode}: ${done.stderr}`);
  return JSON.parse(done.stdout).findings;
}

const ask = (node: DoctorNode) => node.argv("--json", "--only", "A8", "--no-probe");
const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);

/** What is found while a runtime of this name watches the folder of configurations. */
function watchedBy(
  name: string,
  node: DoctorNode,
  replace: string,
  config: string,
  netns = node.box.netns,
): Finding[] {
  node.write("/etc/runtime.toml", config);
  const program = `${node.box.dir}/${name}`;
  symlinkSync(process.execPath, program);
  const words = ["--config", "/etc/runtime.toml", "--watch", node.confDir, "--replace", replace];
  return alone(["nsenter", `--net=${netns}`, program, RUNTIME, ...words, "--", ...ask(node)]);
}

const containerdConf = (dir: string) => `[plugins."io.containerd.grpc.v1.cri".cni]\n  conf_dir = "${dir}"\n`;

describe("A8 says nothing against", () => {
  test("a node where minicni is installed; and it writes nothing", () => {
    const node = installed();
    const before = readdirSync(node.confDir);
    const found = alone(ask(node));
    expect(levels(found)).toEqual(["skip", "pass"]);
    expect(found[0]?.message).toContain("no process containerd or crio can be seen from here");
    expect(readdirSync(node.confDir)).toEqual(before);
  });

  test("a node before the installation, with no folder yet", () => {
    const node = new DoctorNode();
    for (const folder of [node.confDir, node.binDir]) rmdirSync(folder);
    expect(levels(alone(ask(node)))).toEqual(["pass"]);
    expect(existsSync(node.confDir)).toBe(false);
  });

  test.each(["containerd", "crio"])("%s that watches the folder", (name) => {
    const node = installed();
    const config =
      name === "crio" ? `[crio.network]\nnetwork_dir = "${node.confDir}/"\n` : containerdConf(node.confDir);
    const found = watchedBy(name, node, "no", config);
    expect(levels(found)).toEqual(["pass"]);
    expect(found[0]?.message).toContain("which the runtime watches");
  });

  test("the containerd of another node on this machine (kind)", () => {
    const node = installed();
    const config = containerdConf(node.confDir);
    const found = watchedBy("containerd", node, "moved", config, node.box.pod().netns);
    expect(levels(found)).not.toContain("warn");
  });

  test("Docker's containerd, which takes no network configurations", () => {
    const node = installed();
    const config = `disabled_plugins = ["cri"]\n${containerdConf(node.confDir)}`;
    expect(levels(watchedBy("containerd", node, "moved", config))).not.toContain("warn");
  });
});

describe("A8 names", () => {
  test.each(["moved", "removed"])(
    "a folder that was %s and made anew behind containerd's back",
    (replace) => {
      const node = installed();
      const [found] = watchedBy("containerd", node, replace, containerdConf(node.confDir));
      expect(found?.level).toBe("warn");
      expect(found?.message).toMatch(
        /^containerd \(process 1\) does not watch \S+\/net\.d as it is now \(inode \d+\)$/,
      );
      expect(found?.evidence[1]).toMatch(
        replace === "moved" ? /^process 1 watches inode \d+ of \d+:\d+$/ : /watches/,
      );
      expect(found?.fix).toEqual(["systemctl restart containerd"]);
    },
  );

  test("a containerd with another folder of configurations", () => {
    const found = watchedBy("containerd", installed(), "no", containerdConf("/var/lib/site/net.d"));
    const [warning] = found.filter(({ level }) => level === "warn");
    expect(warning?.message).toMatch(/takes network configurations from \/var\/lib\/site\/net\.d, not from/);
    expect(warning?.evidence).toEqual(["/etc/runtime.toml: /var/lib/site/net.d"]);
  });

  test("a read-only file system and noexec, with the mount", () => {
    const node = new DoctorNode();
    node.box.mountTmpfs(node.binDir, "noexec");
    node.box.mountReadOnly(node.confDir);
    const [noexec, readOnly] = alone(ask(node));
    expect(noexec?.message).toBe(`${node.binDir} is on a mount with noexec`);
    expect(noexec?.fix[0]).toBe(`mount -o remount,exec ${node.binDir}`);
    expect(readOnly?.message).toBe(`${node.confDir} is on a read-only file system`);
    expect(readOnly?.evidence[0]).toMatch(/mount \S+net\.d \(tmpfs, ro/);
  });

  test("a plugin that is missing, one that can't be run, and a link that leads nowhere", () => {
    const node = installed();
    run(["rm", `${node.binDir}/minicni`]);
    expect(alone(ask(node))[0]?.message).toBe(`there is no plugin ${node.binDir}/minicni`);
    writeFileSync(`${node.binDir}/minicni`, "x", { mode: 0o644 });
    const [found] = alone(ask(node));
    expect(found?.fix).toEqual([`chmod 755 ${node.binDir}/minicni`]);
    run([...(found?.fix[0] ?? "").split(" ")]);
    run(["rm", `${node.binDir}/minicni-standalone`]);
    expect(alone(ask(node)).map(({ level, message }) => `${level} ${message}`)).toContain(
      `warn broken link: ${node.binDir}/loopback`,
    );
  });

  test("a file where the folder of configurations should be", () => {
    const node = new DoctorNode();
    rmdirSync(node.confDir);
    writeFileSync(node.confDir, "");
    expect(alone(ask(node)).map(({ message }) => message)).toContain(`${node.confDir} is no folder`);
  });
});

describe("A8 from a pod", () => {
  test("takes its own read-only mount for no fault of the node's, a read-only file system for one", () => {
    const node = installed();
    const inPod = [
      "/usr/bin/env",
      "KUBERNETES_SERVICE_HOST=10.96.0.1",
      "/usr/bin/unshare",
      "--mount",
      "sh",
      "-c",
    ];
    const asked = ask(node).map((word) => `'${word}'`);
    const bind = `mount --bind ${node.binDir} ${node.binDir} && mount -o remount,bind,ro ${node.binDir}`;
    const done = run([...inPod, `${bind} && ${asked.join(" ")}`]);
    const { findings }: { findings: readonly Finding[] } = JSON.parse(done.stdout);
    expect(levels(findings)).not.toContain("warn");
    node.box.mountReadOnly(`${node.root}${node.confDir}`);
    expect(alone(ask(node)).map(({ message }) => message)).toContain(
      `${node.confDir} is on a read-only file system`,
    );
  });
});
