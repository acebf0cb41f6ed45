import { beforeEach, describe, expect, test } from "bun:test";
import { runUninstall } from "../../../src/entry/install/uninstall.ts";
import { writeRecord } from "../../../src/host/records.ts";
import { formatConflist } from "../../../src/topology/conflist.ts";
import { createFakeMachine, type FakeMachine, fakeLink } from "../../twin/machine.ts";
import { fakeRecord } from "../../twin/record.ts";

const CONFLIST = "/etc/cni/net.d/10-minicni.conflist";
const STANDALONE = "/opt/cni/bin/minicni-standalone";

let machine: FakeMachine;
let printed: string[];
beforeEach(() => {
  machine = createFakeMachine("/nowhere");
  printed = [];
  machine.answer = ({ argv: [program = "", ...words] }) => {
    if (program === "nft" || program.endsWith("-save")) return { exitCode: 0, stdout: "" };
    const isBase = words.includes("FORWARD") || words.includes("POSTROUTING");
    return isBase ? { exitCode: 0, stdout: "" } : { stderr: "No chain/target/match by that name" };
  };
  machine.files.set(CONFLIST, formatConflist("/run/minicni"));
  machine.files.set("/opt/cni/bin/minicni", "executes minicni-standalone");
  machine.files.set(STANDALONE, "binary");
  machine.network.addLink({ name: "minicni.vxlan", kind: "vxlan" });
});

const uninstall = (...args: string[]) => runUninstall(args, machine, (text) => printed.push(text));
const log = () => machine.logged.join("\n");

describe("uninstall", () => {
  test("takes the configuration first and the plugin last", async () => {
    expect(await uninstall()).toBe(0);
    const commands = printed
      .join("")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    expect(commands[0]).toBe(`rm -f ${CONFLIST}`);
    expect(commands.slice(-2)).toEqual(["rm -f /opt/cni/bin/minicni", `rm -f ${STANDALONE}`]);
    expect([...machine.files.keys()].filter((path) => !path.startsWith("/proc/"))).toEqual([]);
    expect(machine.linksByName.has("minicni.vxlan")).toBe(false);
  });

  test("goes on behind a step that fails, tells it, exits 1, and stays itself for another run", async () => {
    machine.failOn = ({ op }) => op === "link.del";
    expect(await uninstall()).toBe(1);
    expect(log()).toContain(
      "`ip link del dev minicni.vxlan` failed: RTNETLINK answers: Operation not permitted",
    );
    expect(machine.files.has(CONFLIST)).toBe(false);
    expect(machine.files.has("/opt/cni/bin/minicni")).toBe(true);
    machine.failOn = () => false;
    expect(await uninstall()).toBe(0);
    expect(machine.files.has("/opt/cni/bin/minicni")).toBe(false);
    expect(await uninstall()).toBe(0);
    expect(printed.at(-1)).toBe("# nothing to change\n");
  });

  test("a launcher that can't be removed keeps what it executes", async () => {
    machine.failOn = (step) => step.op === "file.remove" && step.path === "/opt/cni/bin/minicni";
    expect(await uninstall()).toBe(1);
    expect(log()).toContain(`left: rm -f ${STANDALONE}`);
    expect(machine.files.has(STANDALONE)).toBe(true);
  });

  test("tells a step that fails also where something else can't be looked at", async () => {
    machine.findProgram = (name) => (name === "ip" ? "/sbin/ip" : null);
    machine.failOn = ({ op }) => op === "link.del";
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("`ip link del dev minicni.vxlan` failed:");
  });

  test("takes what went by itself meanwhile for removed", async () => {
    machine.failOn = ({ op }) => {
      machine.linksByName.delete("minicni.vxlan");
      return op === "link.del";
    };
    expect(await uninstall()).toBe(0);
    expect(log()).not.toContain("failed");
  });

  test("names at most ten pods when it refuses", async () => {
    for (let n = 0; n < 12; n++) {
      const name = `mcni${n.toString(16).padStart(11, "0")}`;
      machine.network.addLink(fakeLink({ name, kind: "veth", alias: `minicni:minicni:pod${n}:eth0` }));
    }
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("minicni pod9 eth0 (mcni00000000009), and 2 more; drain the node first");
    expect(machine.executed).toEqual([]);
  });

  test("what can't be looked at is told, the rest goes, and the exit code is 1; --force goes to the end", async () => {
    machine.findProgram = (name) => (name === "ip" ? "/sbin/ip" : null);
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("chains of iptables-nft may be there, and no such iptables on the PATH");
    expect(log()).toContain("/opt/cni/bin stays as it is until all else is gone");
    expect(machine.files.has(CONFLIST)).toBe(false);
    expect(machine.files.has("/opt/cni/bin/minicni")).toBe(true);
    expect(await uninstall("--dry-run")).toBe(3);
    expect(await uninstall("--force")).toBe(0);
    expect(machine.files.has("/opt/cni/bin/minicni")).toBe(false);
    expect(await uninstall("--dry-run")).toBe(1);
  });

  test("a node without iptables has no rules by it, as nft shows", async () => {
    let chains = "table ip nat {\n\tchain MINICNI-MASQ-0a1b2c3d {\n\t}\n}\n";
    machine.findProgram = (name) => (/iptables/.test(name) ? null : `/usr/sbin/${name}`);
    machine.answer = ({ argv }) => ({ exitCode: 0, stdout: argv.includes("chains") ? chains : "" });
    expect(await uninstall()).toBe(1);
    chains = "table ip nat {\n\tchain POSTROUTING {\n\t}\n}\n";
    expect(await uninstall()).toBe(0);
  });

  test("without ip nothing is begun", async () => {
    machine.findProgram = (name) => (name === "ip" ? null : `/usr/sbin/${name}`);
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("no ip on the PATH; install iproute2");
    expect(machine.files.has(CONFLIST)).toBe(true);
  });

  test("while the runtime has its configuration everything else stays", async () => {
    machine.failOn = ({ op, ...step }) => op === "file.remove" && "path" in step && step.path === CONFLIST;
    expect(await uninstall()).toBe(1);
    expect(log()).toContain(`\`rm -f ${CONFLIST}\` failed`);
    expect(machine.linksByName.has("minicni.vxlan")).toBe(true);
  });

  test("rules of a variant whose program is not there are told: a node often has but one", async () => {
    machine.files.set("/proc/net/ip_tables_names", "filter\nnat\n");
    machine.findProgram = (name) => (name.endsWith("-legacy") ? null : `/usr/sbin/${name}`);
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("tables of iptables-legacy are there, and no such iptables on the PATH");
    expect(machine.files.has("/opt/cni/bin/minicni")).toBe(true);
  });

  test("tables that the records tell of are not left in silence where there is no nft", async () => {
    const key = { network: "m2", containerId: "pod1", ifname: "eth0" };
    writeRecord(
      machine,
      "/run/minicni",
      key,
      fakeRecord("m2", "pod1", { masquerade: "nftables", netns: "" }),
    );
    machine.findProgram = (name) => (name === "nft" ? null : `/usr/sbin/${name}`);
    // As often as it is tried: the records stay that tell of them.
    for (let times = 0; times < 2; times++) expect(await uninstall()).toBe(1);
    expect(log()).toContain("no nft on the PATH for the tables of m2; install nftables");
    expect(machine.files.has("/run/minicni/attachments/m2/pod1:eth0.json")).toBe(true);
  });

  test.each([
    ["nft", "legacy", "tables of iptables-legacy are there"],
    ["legacy", "nft", "chains of iptables-nft may be there"],
  ])("so are they where the plain iptables is %s and they are in %s", async (plain, other, told) => {
    if (other === "legacy") machine.files.set("/proc/net/ip_tables_names", "filter\n");
    const { answer } = machine;
    machine.answer = (request) => {
      const { argv } = request;
      if (argv.includes("--version"))
        return {
          exitCode: 0,
          stdout: plain === "nft" ? "iptables v1.8.9 (nf_tables)" : "iptables v1.8.9 (legacy)",
        };
      if (argv.includes("chains"))
        return { exitCode: 0, stdout: other === "nft" ? "\tchain MINICNI-FORWARD {\n" : "" };
      return answer(request);
    };
    machine.findProgram = (name) => (/-(nft|legacy)/.test(name) ? null : `/usr/sbin/${name}`);
    expect(await uninstall()).toBe(1);
    expect(log()).toContain(told);
  });

  test("the state folder that the conflist names is not passed over", async () => {
    machine.files.set(CONFLIST, formatConflist("/run/st2"));
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("10-minicni.conflist names the state folder /run/st2; say --state-dir /run/st2");
    expect(machine.executed).toEqual([]);
    expect(await uninstall("--state-dir", "/run/st2")).toBe(0);
  });

  test("the locks go last of all: nobody begins beside it", async () => {
    for (const name of ["agent.lock", "attachments.lock", "node.json"])
      machine.files.set(`/run/minicni/${name}`, "");
    expect(await uninstall()).toBe(0);
    const commands = machine.executed.join("").split("\n");
    expect(commands.filter((line) => /^(rm|rmdir|ip) /.test(line)).slice(-5)).toEqual([
      "rm -f /opt/cni/bin/minicni",
      `rm -f ${STANDALONE}`,
      "rm -f /run/minicni/agent.lock",
      "rm -f /run/minicni/attachments.lock",
      "rmdir /run/minicni",
    ]);
  });

  test("folders of others in ours are told, and no reason to fail", async () => {
    machine.files.set("/run/minicni/masquerade/theirs/x", "");
    expect(await uninstall()).toBe(0);
    expect(log()).toContain("/run/minicni/masquerade stays, with what is not minicni's: theirs");
    expect(log()).toContain("/run/minicni stays, with what is not minicni's: masquerade");
  });

  test("pods that can't be looked for are no reason to take them for none", async () => {
    machine.links = () => {
      throw new Error("netlink: EPERM");
    };
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("whether pods are attached to minicni can't be seen: links: netlink: EPERM");
    expect(machine.executed).toEqual([]);
  });

  test("a pod whose namespace can't be looked at counts as alive, and nobody's state is called foreign", async () => {
    const key = { network: "minicni", containerId: "pod1", ifname: "eth0" };
    const record = fakeRecord("minicni", "pod1", { bootId: machine.bootId() });
    writeRecord(machine, "/run/minicni", key, record);
    machine.isNetns = () => {
      throw new Error("EACCES");
    };
    expect(await uninstall()).toBe(1);
    expect(log()).toContain("attached to minicni: minicni pod1 eth0 (/run/netns/pod1)");
    expect(log()).not.toContain("not minicni's");
  });

  test("a port of the bridge that is somebody else's is not cut off", async () => {
    machine.network.addLink({ name: "minicni0", kind: "bridge", index: 50 });
    machine.network.addLink({ name: "vethgo1", kind: "veth", masterIndex: 50 });
    expect(await uninstall()).toBe(1);
    expect(log()).toContain(
      "vethgo1 is a port of minicni0 and not minicni's; take it off first (ip link set",
    );
    expect(machine.executed).toEqual([]);
    expect(await uninstall("--force")).toBe(0);
    expect(machine.linksByName.has("minicni0")).toBe(false);
  });

  test("a node that has Go minicni only is left as it is", async () => {
    machine.files.delete(CONFLIST);
    machine.linksByName.delete("minicni.vxlan");
    machine.files.delete(STANDALONE);
    machine.files.set("/opt/cni/bin/minicni", "the Go plugin");
    machine.files.set(
      "/etc/cni/net.d/05-go.conf",
      JSON.stringify({ type: "minicni", subnet: "10.1.0.0/24" }),
    );
    machine.network.addLink({ name: "minicni0", kind: "bridge", index: 50 });
    machine.network.addLink({ name: "vethgo1", kind: "veth", masterIndex: 50 });
    expect(await uninstall()).toBe(0);
    expect(printed).toEqual(["# nothing to change\n"]);
    expect(log()).toContain("/opt/cni/bin/minicni is of Go minicni: it stays");
  });
});
