import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { answer, type Behaviour, hello, leaveSocket, StubAgent } from "./launcher-agent.ts";
import { type Node, openPipe, Programs, STANDALONE_CODE } from "./launcher-start.ts";

setDefaultTimeout(30_000);

const STDIN = '{"name":"a"}';
const ANSWERING: Behaviour = { answer: () => answer("R", 0, "of the agent") };

let programs: Programs;
let node: Node;
let agent: StubAgent | null = null;
beforeAll(() => {
  programs = new Programs();
});
afterEach(() => {
  agent?.stop();
  agent = null;
});
afterAll(() => rmSync(programs.folder, { recursive: true, force: true }));

function serve(behaviour: Behaviour): StubAgent {
  node = programs.node();
  agent = new StubAgent(node.socket, behaviour);
  return agent;
}

/** What the full binary leaves when it is called with these words. */
const standalone = (words: string, stdout = STDIN) => ({
  exitCode: STANDALONE_CODE,
  stdout,
  stderr: `standalone:${words}`,
});

describe("the full binary runs without the agent being asked", () => {
  beforeAll(() => {
    node = programs.node();
  });
  afterEach(() => expect(agent?.connections ?? []).toEqual([]));

  test("for people's words", async () => {
    serve(ANSWERING);
    const done = await node.run({ argv: [node.launcher, "a b", "--c"], stdin: STDIN });
    expect(done).toEqual(standalone(`ADD ${node.launcher} a b --c`));
  });

  test("without a command", async () => {
    serve(ANSWERING);
    const done = await node.run({ env: { CNI_COMMAND: "" }, stdin: STDIN });
    expect(done).toEqual(standalone(` ${node.launcher}`));
  });

  test("for VERSION, and stdin may stay open", async () => {
    serve(ANSWERING);
    const { readEnd, writeEnd } = openPipe();
    const done = await node.run({ stdin: readEnd, env: { CNI_COMMAND: "VERSION" } });
    for (const end of [readEnd, writeEnd]) closeSync(end);
    expect(done).toEqual(standalone(`VERSION ${node.launcher}`, ""));
  });

  test("for lo, by whatever link", async () => {
    serve(ANSWERING);
    mkdirSync(`${node.folder}/links`);
    const loopback = `${node.folder}/links/loopback`;
    symlinkSync("../minicni", loopback);
    expect(await node.run({ argv: [loopback], stdin: STDIN })).toEqual(standalone(`ADD ${loopback}`));
  });
});

describe("the full binary runs in place of an agent", () => {
  const expectStandalone = async () =>
    expect(await node.run({ stdin: STDIN })).toEqual(standalone(`ADD ${node.launcher}`));

  test("that is not there", async () => {
    node = programs.node();
    await expectStandalone();
  });

  test("whose socket is left and dead", async () => {
    node = programs.node();
    leaveSocket(node.socket);
    await expectStandalone();
  });

  test("whose socket is a file", async () => {
    node = programs.node();
    writeFileSync(node.socket, "");
    await expectStandalone();
  });

  test("whose socket has too long a path", async () => {
    node = programs.node();
    const env = { MINICNI_SOCKET: `/${"x".repeat(105)}` };
    expect(await node.run({ env, stdin: STDIN })).toEqual(standalone(`ADD ${node.launcher}`));
  });

  test.each([
    ["of another version", { hello: hello(2) }],
    ["that sends elsewhere", { hello: hello(1, 1) }],
    ["that says something else", { hello: Buffer.from("HTTP/1.1 200 OK\r\n") }],
    ["that ends within its hello", { hello: hello().subarray(0, 5), ends: "hello" as const }],
  ])("%s", async (_, behaviour) => {
    serve(behaviour);
    await expectStandalone();
  });

  test("that says nothing, soon", async () => {
    serve({ hello: null });
    const began = performance.now();
    await expectStandalone();
    expect(performance.now() - began).toBeGreaterThan(1_900);
    expect(performance.now() - began).toBeLessThan(3_500);
  });

  test("that ends before the call is there", async () => {
    serve({ ends: "hello" });
    const argv = ["sh", "-c", `(sleep 0.3; printf '${STDIN}') | exec ${node.launcher}`];
    expect(await node.run({ argv })).toEqual(standalone(`ADD ${node.launcher}`));
  });

  test("that takes no descriptors", async () => {
    serve(ANSWERING);
    rmSync(`${node.socket}.fd`);
    await expectStandalone();
    expect(agent?.call).toBeNull();
  });

  test.each([2 ** 20 + 1, 10_000_000])("for %d bytes on stdin", async (size) => {
    serve(ANSWERING);
    const argv = [
      "sh",
      "-c",
      `head -c ${size} /dev/urandom >"$0.conf"; cat "$0.conf" | "$0" | cmp - "$0.conf"`,
    ];
    const done = await node.run({ argv: [...argv, node.launcher] });
    expect(done).toEqual({ exitCode: 0, stdout: "", stderr: `standalone:ADD ${node.launcher}` });
    expect(agent?.call).toBeNull();
  });

  test("for more than 64 KiB of variables", async () => {
    serve(ANSWERING);
    const env = { CNI_ARGS: "x".repeat(65_536) };
    expect(await node.run({ env, stdin: STDIN })).toEqual(standalone(`ADD ${node.launcher}`));
  });

  test("when stdin is closed", async () => {
    serve(ANSWERING);
    const done = await node.run({ argv: ["sh", "-c", `exec ${node.launcher} <&-`] });
    expect(done).toEqual(standalone(`ADD ${node.launcher}`, ""));
  });
});

describe("the full binary is found", () => {
  test("beside the path of the call where there is no /proc", async () => {
    serve(ANSWERING);
    mkdirSync(`${node.folder}/bin`);
    for (const name of ["minicni", "minicni-standalone"]) {
      copyFileSync(`${node.folder}/${name}`, `${node.folder}/bin/${name}`);
    }
    const env = { MINICNI_SOCKET: "/cni.sock" };
    const argv = ["chroot", node.folder, "/bin/minicni"];
    expect(await node.run({ argv, env, stdin: STDIN })).toEqual(standalone("ADD /bin/minicni"));
  });
});

describe("without the full binary", () => {
  const why = (path: string, reason: string) => `can't run ${path}-standalone: ${reason}`;

  test("a runtime gets an error document", async () => {
    node = programs.node();
    rmSync(`${node.launcher}-standalone`);
    const msg = why(node.launcher, "no such file or directory");
    const { exitCode, stdout, stderr } = await node.run();
    const details = "run `minicni install` again";
    expect(JSON.parse(stdout)).toEqual({ cniVersion: "1.1.0", code: 5, msg, details });
    expect(stderr).toBe(`minicni: ${msg}; ${details}\n`);
    expect(exitCode).toBe(1);
  });

  test("people get a line", async () => {
    node = programs.node();
    writeFileSync(`${node.launcher}-standalone`, "", { mode: 0o644 });
    rmSync(`${node.launcher}-standalone`);
    mkdirSync(`${node.launcher}-standalone`);
    const stderr = `minicni: ${why(node.launcher, "permission denied")}; run \`minicni install\` again\n`;
    expect(await node.run({ argv: [node.launcher, "help"] })).toEqual({ exitCode: 127, stdout: "", stderr });
  });

  test.each(["copy", "link"])(
    "a %s of the launcher in its place does not call itself for ever",
    async (how) => {
      node = programs.node();
      rmSync(`${node.launcher}-standalone`);
      if (how === "copy") copyFileSync(node.launcher, `${node.launcher}-standalone`);
      else symlinkSync("minicni", `${node.launcher}-standalone`);
      expect(JSON.parse((await node.run()).stdout)).toMatchObject({ code: 5 });
    },
  );

  test("the document is JSON whatever the folder is called", async () => {
    const plain = programs.node();
    const folder = `${plain.folder}/a"b\\c\nd`;
    mkdirSync(folder);
    copyFileSync(plain.launcher, `${folder}/minicni`);
    const { stdout } = await plain.run({ argv: [`${folder}/minicni`] });
    const shown = `${plain.folder}/a"b\\c?d/minicni`;
    expect(JSON.parse(stdout).msg).toBe(why(shown, "no such file or directory"));
  });
});
