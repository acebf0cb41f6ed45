import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes, run } from "./sandbox.ts";

afterAll(destroySandboxes);

describe("minicni doctor", () => {
  test("on a node without anything of ours ends with 0 or 1, and writes one JSON document", () => {
    const done = new DoctorNode().doctor("--json");
    expect([0, 1]).toContain(done.exitCode);
    const report = JSON.parse(done.stdout);
    expect([report.command, report.version]).toEqual(["doctor", 1]);
    const { fail, warn, skip, pass } = report.counts;
    expect(fail + warn + skip + pass).toBe(report.findings.length);
    expect(done.exitCode).toBe(fail + warn > 0 ? 1 : 0);
  });

  test("judges saved facts as it judged the node", () => {
    const node = new DoctorNode();
    const file = `${node.box.dir}/facts.json`;
    const now = JSON.parse(node.doctor("--json", "--save", file).stdout);
    const later = JSON.parse(node.doctor("--json", "--from", file).stdout);
    expect(later).toEqual(now);
    expect(statSync(file).mode & 0o777).toBe(0o644);
  });

  test("changes nothing on the node", () => {
    const node = new DoctorNode();
    const state = () =>
      [
        ["ip", "-d", "link"],
        ["ip", "route", "show", "table", "all"],
        ["ip", "rule"],
        ["nft", "list", "ruleset"],
        ["iptables-save"],
      ]
        .map((argv) => node.box.node(...(argv as [string])).replace(/^#.*$/gm, ""))
        .join("\n");
    const before = state();
    node.doctor();
    expect(state()).toBe(before);
  });

  test("without root shows what it could see, and names what it could not", () => {
    const node = new DoctorNode();
    const [nsenter = "", netns = "", ...own] = node.argv("--json");
    const done = run([nsenter, netns, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...own]);
    expect(done.stderr).not.toContain("    at ");
    expect([0, 1]).toContain(done.exitCode);
    const { findings } = JSON.parse(done.stdout);
    expect(findings.length).toBeGreaterThanOrEqual(26);
    for (const { message } of findings) expect(message).not.toContain("this check failed");
  });

  test("in a pipe has no colours, and at 40 columns breaks its lines", () => {
    const node = new DoctorNode();
    const done = run(node.argv("--only", "A10"), { env: { COLUMNS: "40" } });
    expect(done.stdout).not.toContain("\x1b");
    expect(Math.max(...done.stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(40);
  });

  test.each([
    ["a check that there is none of", ["--only", "A99"], "there is no check A99"],
    ["an option that there is none of", ["--jso"], "Did you mean --json?"],
    [
      "facts that are not there",
      ["--from", "/nonexistent/facts.json"],
      "there is no file /nonexistent/facts.json",
    ],
    ["facts to keep and to judge at once", ["--from", "a", "--save", "b"], "cannot be used with"],
    ["a folder that is not absolute", ["--root", "host"], "wanted an absolute path"],
    [
      "a place where nothing can be written",
      ["--only", "A10", "--save", "/proc/facts.json"],
      "/proc/facts.json can't be written",
    ],
  ])("refuses %s with exit code 2, and says why", (_what, args, said) => {
    const done = new DoctorNode().doctor(...args);
    expect(done.stderr).toContain(said);
    expect([done.exitCode, done.stdout]).toEqual([2, ""]);
  });

  test("refuses facts that are none", () => {
    const node = new DoctorNode();
    writeFileSync(`${node.box.dir}/not-facts.json`, readFileSync("/proc/self/status"));
    const done = node.doctor("--from", `${node.box.dir}/not-facts.json`);
    expect(done.stderr).toContain("these are no facts that minicni doctor --save wrote");
    expect(done.exitCode).toBe(2);
  });
});
