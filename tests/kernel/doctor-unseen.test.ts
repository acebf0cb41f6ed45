import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import type { Finding } from "../../src/doctor/finding.ts";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

/** No process of the machine can be seen: a real runtime of another test is none of ours. */
const ALONE = ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc"];

/** The checks of what others do on the host, in a way of running the doctor. */
function ask(before: readonly string[], env: Readonly<Record<string, string>> = {}): string[] {
  const node = new DoctorNode();
  const [enter = "", netns = "", ...own] = node.argv("--json", "--no-probe", "--only", "A5,A6,A7,A8,A9");
  const done = run([...ALONE, enter, netns, ...before, ...own], { env });
  expect(done.stderr).toBe("");
  expect(done.exitCode).toBe(0);
  const { findings }: { findings: readonly Finding[] } = JSON.parse(done.stdout);
  return findings.map(({ level, id, message }) => `${level} ${id} ${message}`);
}

test("without capabilities the doctor names what it could not see, and shows the rest", () => {
  const lines = ask(["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
  expect(lines).toContainEqual(expect.stringMatching(/^skip A5 firewalls: not looked at: .*iptables/));
  expect(lines).toContainEqual(
    expect.stringMatching(/^skip A5 firewalls: not looked at: the tables of nftables: /),
  );
  expect(lines).toContainEqual(
    expect.stringMatching(/^skip A7 network configurations: not looked at: chains of /),
  );
  expect(lines).toContainEqual(expect.stringMatching(/^pass A7 no network configuration in/));
  expect(lines).toContainEqual(expect.stringMatching(/^pass A8/));
});

test("without iptables and nft likewise", () => {
  const node = new DoctorNode();
  const folder = `${node.box.dir}/programs`;
  mkdirSync(folder);
  symlinkSync("/usr/sbin/ip", `${folder}/ip`);
  const lines = ask([], { PATH: folder });
  expect(lines).toContain("skip A5 firewalls: not looked at: the rules of iptables: no iptables on the PATH");
  expect(lines).toContain("skip A5 firewalls: not looked at: the tables of nftables: no nft on the PATH");
  expect(lines).toContain("pass A7 nothing is left of other network plugins");
});

test("in a PID namespace of one's own likewise", () => {
  const lines = ask([]);
  expect(lines).toContainEqual(expect.stringMatching(/^skip A8 .*no process containerd or crio can be seen/));
  expect(lines.filter((line) => /^(warn|fail)/.test(line))).toEqual([]);
});
