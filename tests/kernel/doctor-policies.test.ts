import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync } from "node:fs";
import type { Finding } from "../../src/doctor/finding.ts";
import { type ApiServerOptions, startApiServer } from "../twin/apiserver.ts";
import { DoctorNode } from "./doctor.ts";
import { relay } from "./relay.ts";
import { destroySandboxes, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
const opened: { stop(): unknown }[] = [];
const cleanUp = () => {
  for (const it of opened.splice(0)) it.stop();
  destroySandboxes();
};
afterEach(cleanUp);
afterAll(cleanUp);

const PATH = "/apis/networking.k8s.io/v1/networkpolicies";
const DENY_ALL = { metadata: { namespace: "shop", name: "deny-all" } };
const HAS_NFT = Bun.which("nft") !== null;

/** A node beside an API that has these policies. */
async function node(items: readonly object[] | null) {
  const others: ApiServerOptions["others"] = items === null ? {} : { [PATH]: { metadata: {}, items } };
  const server = await startApiServer({ others });
  opened.push(server);
  const doctor = new DoctorNode();
  opened.push(relay(doctor.box.netns, server.port));
  const kubeconfig = server.kubeconfigPath();
  const argv = doctor.argv("--json", "--only", "B13", "--kubeconfig", kubeconfig);
  return { server, doctor, argv };
}

/** The doctor in a PID namespace of its own, so that it does not matter what else runs on this machine. */
async function ask(argv: readonly string[]): Promise<Finding[]> {
  const [enter = "", netns = "", ...own] = argv;
  const before = ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc"];
  const child = Bun.spawn([enter, netns, ...before, ...own], { stdout: "pipe", stderr: "pipe" });
  // The server is in this very process: it has to go on meanwhile.
  const [text, said] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if (text === "") throw new Error(said);
  return JSON.parse(text).findings;
}

const lines = async (argv: readonly string[]) =>
  (await ask(argv)).map(({ level, message }) => `${level} ${message}`);

describe("B13, NetworkPolicy", () => {
  test("none, and no engine, is no finding", async () => {
    const { argv } = await node([]);
    expect(await lines(argv)).toEqual([
      "pass there are no NetworkPolicies; minicni would enforce none, and no engine is here",
    ]);
  });

  test("that nobody enforces is told with one by name", async () => {
    const { argv } = await node([DENY_ALL]);
    const [finding] = await ask(argv);
    expect(finding).toMatchObject({
      level: "warn",
      message: "1 NetworkPolicy, such as shop/deny-all, and nobody enforces it on this node",
    });
    expect(finding?.fix[0]).toContain("kube-network-policies");
  });

  test.skipIf(!HAS_NFT)("of kube-network-policies is seen by its table", async () => {
    const { doctor, argv } = await node([DENY_ALL]);
    doctor.box.node("nft", "add", "table", "inet", "kube-network-policies");
    const [finding] = await ask(argv);
    expect(finding).toMatchObject({
      level: "pass",
      message:
        "kube-network-policies enforces NetworkPolicies on this node; there is 1, such as shop/deny-all",
      evidence: ["kube-network-policies: table inet kube-network-policies"],
    });
  });

  test("of kube-router is seen by its chains, and two engines at once are told", async () => {
    const { doctor, argv } = await node([DENY_ALL]);
    for (const chain of ["KUBE-ROUTER-FORWARD", "KUBE-NWPLCY-DEFAULT"])
      doctor.box.node("iptables", "-N", chain);
    const [finding] = await ask(argv);
    expect(finding?.level).toBe("pass");
    expect(finding?.evidence).toContainEqual(
      expect.stringMatching(/^kube-router: chain KUBE-ROUTER-FORWARD \(iptables/),
    );
    doctor.box.node("iptables", "-N", "cali-FORWARD");
    expect(await lines(argv)).toEqual([
      "warn 2 engines enforce NetworkPolicies on this node: kube-router, Calico",
    ]);
  });

  test("of an engine is seen by its process as well", async () => {
    const { doctor, argv } = await node([DENY_ALL]);
    const program = `${doctor.box.dir}/netpol`;
    copyFileSync("/usr/bin/sleep", program);
    const child = Bun.spawn([program, "60"]);
    opened.push({ stop: () => child.kill() });
    const isNamed = () => existsSync(`/proc/${child.pid}`) && run(["cat", `/proc/${child.pid}/comm`]).stdout;
    while (isNamed() !== "netpol\n") await Bun.sleep(10);
    const [enter = "", netns = "", ...own] = argv;
    const [finding] = await ask(argv);
    // From a PID namespace of one's own nothing else is seen, whoever runs.
    expect(finding?.level).toBe("warn");
    const seen = Bun.spawn([enter, netns, ...own], { stdout: "pipe" });
    const { findings }: { findings: Finding[] } = JSON.parse(await new Response(seen.stdout).text());
    expect(findings[0]?.evidence).toContain("kube-network-policies: process netpol");
  });

  test("that can't be asked is skipped, with the reason; facts hold no credentials", async () => {
    const { doctor, server, argv } = await node(null);
    expect(await lines(argv)).toEqual([
      expect.stringMatching(/^skip NetworkPolicy: .*the API has no networkpolicies \(404\)\)$/),
    ]);
    server.behave({ on: "list", times: 9, status: 403, message: "forbidden" });
    const facts = `${doctor.box.dir}/facts.json`;
    expect((await lines([...argv, "--save", facts]))[0]).toContain("may not list networkpolicies (403)");
    expect(doctor.box.node("cat", facts)).not.toContain("token-1");
    expect(doctor.lines("B13")).toEqual([
      "SKIP B13 NetworkPolicy: minicni enforces none, and no engine is seen here; whether there are any is not known (no way to the API is known here: --kubeconfig FILE)",
    ]);
  });
});
