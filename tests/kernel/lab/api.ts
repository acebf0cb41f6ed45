import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { BINARY, read, run } from "../sandbox.ts";
import {
  areJoined,
  downLab,
  FOLDER,
  inside,
  lists,
  machine,
  mustLab,
  report,
  until,
  upLab,
} from "./cluster.ts";

const before = machine();
const NODES = ["node1", "node2", "node3"];
const ADDRESS = "172.31.255.254";
const KUBECONFIG = `${FOLDER}/kubeconfig`;
const children = new Set<Bun.Subprocess>();

function start(netns: string, ...argv: string[]): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const child = Bun.spawn({
    cmd: ["nsenter", `--net=/run/netns/mclab-${netns}`, ...argv],
    env: { PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  return child;
}

/** The stand-in for the API, on the router; it serves the lab's NodeList and follows it. Returns when it listens. */
async function startApi(): Promise<void> {
  const script = `${import.meta.dir}/../../twin/apiserver-main.ts`;
  const options = ["--host", ADDRESS, "--port", "6443", "--nodes", `${FOLDER}/nodelist.json`];
  const child = start("router", process.execPath, script, ...options);
  for await (const chunk of child.stdout) {
    const { kubeconfig }: { kubeconfig: string } = JSON.parse(new TextDecoder().decode(chunk));
    await Bun.write(KUBECONFIG, read(kubeconfig));
    return;
  }
  throw new Error("the API stand-in ended");
}

/** Whether the API refuses every connection, those that are open included. */
function shutApi(isShut: boolean): void {
  const rule = ["INPUT", "-p", "tcp", "--dport", "6443", "-j", "REJECT", "--reject-with", "tcp-reset"];
  inside("router", "iptables", isShut ? "-A" : "-D", ...rule);
}

/** An agent with the node's folders that asks the API in place of the file. */
function startAgent(node: string): Bun.Subprocess {
  const folder = `${FOLDER}/${node}`;
  const log = `${folder}/agent.log`;
  const argv = [BINARY, "agent", "--node", node, "--kubeconfig", KUBECONFIG];
  const folders = [
    "--state-dir",
    `${folder}/state`,
    "--data-dir",
    `${folder}/data`,
    "--conf-dir",
    `${folder}/conf`,
  ];
  // A shell for the log file alone; `exec` leaves the agent in its place.
  return start(node, "sh", "-c", 'exec "$@" 2>>"$0"', log, ...argv, ...folders);
}

function isReady(node: string): boolean {
  const url = "http://127.0.0.1:9157/readyz";
  return (
    run(["nsenter", `--net=/run/netns/mclab-${node}`, "busybox", "wget", "-q", "-O", "-", url]).exitCode === 0
  );
}

const failed = () => report().probes.filter(({ ok }) => !ok);
let agents = new Map<string, Bun.Subprocess>();

describe("a lab whose agents ask an API server", () => {
  beforeAll(async () => {
    upLab("--nodes", "3", "--pods", "1", "--subnets", "2");
    for (const node of NODES) mustLab("agent", "stop", node);
    await startApi();
  }, 60_000);
  afterAll(async () => {
    for (const child of children) child.kill();
    await Promise.all([...children].map(({ exited }) => exited));
    downLab();
  }, 60_000);

  describe("agents that ask the API", () => {
    test("become ready, and everything is reached", async () => {
      agents = new Map(NODES.map((node) => [node, startAgent(node)]));
      await until("all are ready", () => NODES.every(isReady));
      expect(failed()).toEqual([]);
    }, 60_000);

    test("follow a Node that goes and comes", async () => {
      mustLab("node", "rm", "node2");
      await until("its route is gone", () => !lists("node1", "10.244.2.0/24", "ip", "route"));
      mustLab("node", "set", "node2");
      await until("its route is back", () => lists("node1", "10.244.2.0/24", "ip", "route"));
    }, 60_000);

    test("go on without it: what is removed by hand comes back", async () => {
      shutApi(true);
      inside("node1", "ip", "route", "flush", "proto", "157");
      await until("pods are reached", () => areJoined("node1/pod1", "node3/pod1"));
    }, 60_000);

    test("start without it from what they remember, and remove nothing", async () => {
      const agent = agents.get("node1");
      agent?.kill("SIGKILL");
      await agent?.exited;
      mustLab("node", "rm", "node3");
      inside("node1", "ip", "route", "flush", "proto", "157");
      startAgent("node1");
      await until("the routes are back", () =>
        ["10.244.2.0/24", "10.244.3.0/24"].every((cidr) => lists("node1", cidr, "ip", "route")),
      );
      expect(areJoined("node1/pod1", "node2/pod1")).toBe(true);
    }, 60_000);

    test("catch up when it is back", async () => {
      shutApi(false);
      await until("node3 is gone", () => !lists("node1", "10.244.3.0/24", "ip", "route"));
      await until("they are ready", () => ["node1", "node2"].every(isReady));
      expect(areJoined("node1/pod1", "node2/pod1")).toBe(true);
    }, 60_000);
  });

  test("nothing is left, agents that others started included, and the machine's own network is as it was", () => {
    mustLab("down");
    expect(existsSync(FOLDER)).toBe(false);
    expect(machine()).toBe(before);
  }, 30_000);
});
