import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Json, Node } from "./node.ts";

/** `ipam.type` of the fake. */
export const FAKE = "fakeipam";

/** One call of the fake: the command, its environment, its stdin. */
export interface Call {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
}

/** The address the fake gives unless told otherwise. */
export const FAKE_RESULT: Json = {
  cniVersion: "1.0.0",
  ips: [{ address: "10.1.2.205/24", gateway: "10.1.2.1" }],
  dns: {},
};

/** An IPAM plugin made of a shell script: it records how it is called and answers as told. */
export class FakeIpam {
  readonly #dir: string;

  constructor(node: Node, name = FAKE) {
    this.#dir = `${node.dir}/${name}`;
    mkdirSync(`${this.#dir}/calls`, { recursive: true });
    node.install(name, this.script());
    this.answer("ADD", FAKE_RESULT);
    this.answer("VERSION", { cniVersion: "1.1.0", supportedVersions: ["0.4.0", "1.0.0", "1.1.0"] });
  }

  /** The program; also to be put somewhere else by hand. */
  script(): string {
    return `#!/bin/sh
cd ${this.#dir} || exit 1
call=calls/$(ls calls | wc -l)
mkdir $call
env >$call/env
cat >$call/stdin
[ -f $CNI_COMMAND.stderr ] && cat $CNI_COMMAND.stderr >&2
[ -f $CNI_COMMAND.stdout ] && cat $CNI_COMMAND.stdout
[ -f $CNI_COMMAND.exit ] && exit 1
exit 0
`;
  }

  /** What it prints from now on; exits 0. */
  answer(command: string, document: Json, stderr = ""): void {
    writeFileSync(`${this.#dir}/${command}.stdout`, JSON.stringify(document));
    writeFileSync(`${this.#dir}/${command}.stderr`, stderr);
  }

  /** From now on it fails with this code. */
  fail(command: string, code: number, msg: string): void {
    this.answer(command, { cniVersion: "1.0.0", code, msg });
    writeFileSync(`${this.#dir}/${command}.exit`, "");
  }

  /** All calls so far, the oldest first; VERSION probes are left out, they are nobody's duty. */
  calls(): Call[] {
    const numbers = readdirSync(`${this.#dir}/calls`).sort((a, b) => Number(a) - Number(b));
    return numbers.map((number) => this.#call(number)).filter(({ command }) => command !== "VERSION");
  }

  /** Only the commands of all calls. */
  commands(): string[] {
    return this.calls().map(({ command }) => command);
  }

  #call(number: string): Call {
    const lines = readFileSync(`${this.#dir}/calls/${number}/env`, "utf8").split("\n");
    const env = Object.fromEntries(
      lines.flatMap((line) => {
        const at = line.indexOf("=");
        return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
      }),
    );
    const stdin = readFileSync(`${this.#dir}/calls/${number}/stdin`, "utf8");
    return { command: env.CNI_COMMAND ?? "", env, stdin };
  }
}
