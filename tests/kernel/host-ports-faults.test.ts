import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { gcAll, killMarked, nextFolder } from "./faults.ts";
import { askTcp, KINDS, type Kind, NO_PORTS, NODE, PortNode, serveTcp } from "./host-ports-node.ts";
import { destroySandboxes, type Json, NETWORK, type Pod, read } from "./sandbox.ts";
import { servesCalls } from "./served-path.ts";
import { errorOf, resultOf } from "./views.ts";

setDefaultTimeout(90_000);
const servers: { close(): void }[] = [];
const marks: string[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  for (const mark of marks.splice(0)) killMarked(mark);
  destroySandboxes();
});
afterAll(destroySandboxes);

/** As the suite is loaded: what is in a describe is registered later. */
const IS_SERVED = servesCalls();
const claimsOf = (node: PortNode) => `${node.box.stateDir}/hostports/claims.json`;
const removeRecord = (node: PortNode) => {
  const folder = `${node.box.stateDir}/attachments/${NETWORK}`;
  for (const name of readdirSync(folder)) rmSync(`${folder}/${name}`);
};

for (const kind of KINDS) {
  describe(`what is left, by ${kind}`, () => {
    const ends: readonly (readonly [string, (node: PortNode, pod: Pod, conf: Json) => void])[] = [
      ["DEL", (node, pod, conf) => node.del(pod, conf)],
      ["DEL without namespace", (node, pod, conf) => node.del({ ...pod, netns: "" }, conf)],
      [
        "DEL once the namespace is gone",
        (node, pod, conf) => {
          node.box.removePod(pod);
          node.del(pod, conf);
        },
      ],
      [
        "DEL without record",
        (node, pod, conf) => {
          removeRecord(node);
          node.del(pod, conf);
        },
      ],
      ["DEL by a configuration without ports", (node, pod) => node.del(pod, node.box.conf())],
      [
        "GC",
        (node, pod, conf) => {
          const done = node.box.call("GC", pod, gcAll(conf), node.env);
          if (done.exitCode !== 0) throw new Error(done.stdout);
        },
      ],
    ];
    for (const [what, end] of ends) {
      test(`${what} takes all, and again has nothing to do`, () => {
        const node = new PortNode(kind);
        const pod = node.box.pod();
        const conf = node.conf(["tcp 8080 80", "udp 53 53"], { hostPortLocalhost: true });
        node.box.add(pod, conf, node.env);
        end(node, pod, conf);
        expect(node.traces()).toEqual(NO_PORTS);
        node.del({ ...pod, netns: "" }, conf);
        expect(node.traces()).toEqual(NO_PORTS);
      });
    }

    const losses: readonly (readonly [string, (path: string) => void])[] = [
      ["lost", (path) => rmSync(path)],
      ["torn", (path) => writeFileSync(path, read(path).slice(0, 99))],
      [
        "of another boot",
        (path) => writeFileSync(path, read(path).replace(/"bootId":"[^"]+"/, '"bootId":"x"')),
      ],
    ];
    for (const [what, lose] of losses) {
      test(`claims that are ${what} are made anew from the records`, async () => {
        const node = new PortNode(kind);
        const first = node.add(["tcp 8080 80"], { hostPortLocalhost: true });
        servers.push(serveTcp(first.netns, 80, "first"));
        lose(claimsOf(node));
        const second = node.add(["tcp 8081 80"]);
        servers.push(serveTcp(second.netns, 80, "second"));
        expect(await askTcp(node.world.netns, NODE[0], 8080)).toStartWith("first");
        expect(await askTcp(node.world.netns, NODE[0], 8081)).toStartWith("second");
        lose(claimsOf(node));
        const taken = node.box.call("ADD", node.box.pod(), node.conf(["tcp 8080 80"]), node.env);
        expect(errorOf(taken).msg).toContain(`is held by ${first.id}`);
        lose(claimsOf(node));
        node.del(first);
        expect(await askTcp(node.world.netns, NODE[0], 8080)).toBeNull();
        expect(await askTcp(node.world.netns, NODE[0], 8081)).toStartWith("second");
        lose(claimsOf(node));
        node.del(second);
        expect(node.traces()).toEqual(NO_PORTS);
      });
    }
  });
}

describe("claims that are lost", () => {
  test.each([
    ["iptables-nft", ["iptables", "ip6tables"], ["", "-restore", "-save"]],
    ["nftables", ["nft"], [""]],
  ] as const)("need no other programs than those of %s", (kind, tools, endings) => {
    const node = new PortNode(kind);
    const folder = `${node.box.dir}/few`;
    mkdirSync(folder);
    for (const program of tools.flatMap((tool) => endings.map((ending) => `${tool}${ending}`)))
      symlinkSync(Bun.which(program) ?? "", `${folder}/${program}`);
    const env = { PATH: folder };
    const [first, second] = [node.box.pod(), node.box.pod()];
    node.box.add(first, node.conf(["tcp 8080 80"]), env);
    writeFileSync(claimsOf(node), "{");
    node.box.add(second, node.conf(["tcp 8081 80"]), env);
    writeFileSync(claimsOf(node), "{");
    for (const pod of [first, second]) expect(node.box.call("DEL", pod, node.conf([]), env).stdout).toBe("");
    expect(node.traces()).toEqual(NO_PORTS);
  });
});

const RESTORE: Readonly<Record<Kind, string>> = {
  "iptables-nft": "iptables-nft-restore",
  "iptables-legacy": "iptables-legacy-restore",
  nftables: "nft",
};

/** A stand-in that says so when it is to change rules, and then never ends; `isLate`: when the change is done. */
function hanging(node: PortNode, isLate: boolean) {
  const program = RESTORE[node.kind];
  const folder = nextFolder(node.box);
  marks.push(folder);
  const real = Bun.which(program);
  const isChange = program === "nft" ? '[ "$1" = -f ] || exec $real "$@"' : "";
  const work = isLate ? '$real "$@"' : "";
  const script = `#!/bin/sh\nreal=${real}\n${isChange}\n${work}\n: > ${folder}/struck\nexec sleep 300\n`;
  writeFileSync(`${folder}/${program}`, script, { mode: 0o755 });
  const path = node.env.PATH ?? process.env.PATH;
  return { folder, env: { PATH: `${folder}:${path}`, HANGING: `${folder}` } };
}

describe("a call that is killed", () => {
  for (const kind of KINDS) {
    for (const isLate of [false, true]) {
      test.skipIf(IS_SERVED)(
        `${isLate ? "behind" : "before"} the rules, by ${kind}: DEL, or GC, ends it`,
        async () => {
          for (const end of ["DEL", "GC"]) {
            const node = new PortNode(kind);
            const keep = node.add(["tcp 1 1"]);
            const before = node.traces();
            const { folder, env } = hanging(node, isLate);
            const pod = node.box.pod();
            const conf = node.conf(["tcp 8080 80"]);
            const call = node.box.start("ADD", pod, conf, { env });
            for (let tries = 0; !existsSync(`${folder}/struck`); tries++) {
              if (tries > 6000) throw new Error("the rules are never changed");
              await Bun.sleep(5);
            }
            call.kill();
            await call.done;
            killMarked(folder);
            // Its record is there still, and so is its claim: somebody else is told.
            const refused = node.box.call("ADD", node.box.pod(), node.conf(["tcp 8080 80"]), node.env);
            expect(errorOf(refused)).toMatchObject({ code: 11, msg: expect.stringContaining(pod.id) });
            const valid = [{ containerID: keep.id, ifname: "eth0" }];
            const last = end === "DEL" ? conf : { ...conf, "cni.dev/valid-attachments": valid };
            expect(node.box.call(end, pod, last, node.env).stdout).toBe("");
            expect(node.traces()).toEqual(before);
            resultOf(node.box.call("ADD", node.box.pod(), node.conf(["tcp 8080 80"]), node.env));
            node.box.destroy();
          }
        },
      );
    }
  }
});

describe("the lock of x_tables", () => {
  // An agent has its own environment, and the lock of the machine.
  test.skipIf(IS_SERVED)("held for longer than is waited: code 11, and nothing stays behind", async () => {
    const node = new PortNode("iptables-legacy");
    const lock = `${node.box.dir}/xtables.lock`;
    const env = { ...node.env, XTABLES_LOCKFILE: lock };
    const first = node.box.pod();
    node.box.add(first, node.conf(["tcp 8080 80"]), env);
    const before = node.traces();
    const holder = Bun.spawn({ cmd: ["flock", lock, "sleep", "300"], stdout: "ignore", stderr: "ignore" });
    const pod = node.box.pod();
    const call = node.box.start("ADD", pod, node.conf(["tcp 8081 80"]), { env });
    const done = await call.done;
    for (const child of read(`/proc/${holder.pid}/task/${holder.pid}/children`).split(" "))
      if (child !== "") process.kill(Number(child), "SIGKILL");
    await holder.exited;
    const error = errorOf(done);
    expect(error.code).toBe(11);
    expect(error.msg).toContain("another program holds the lock of iptables");
    // That rules may be left is known, and the next one ends it.
    const third = node.box.pod();
    node.box.add(third, node.conf(["tcp 8081 80"]), env);
    expect(node.box.call("DEL", third, node.conf([]), env).stdout).toBe("");
    expect(node.traces()).toEqual(before);
  });
});
