import { ptr } from "bun:ffi";
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { openLibc } from "../../src/host/libc.ts";
import type { Finished } from "./views.ts";

const ROOT = `${import.meta.dir}/../..`;
const ARCH = process.arch === "arm64" ? "arm64" : "amd64";
/** fcntl.h of Linux. */
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;
/** The exit code of the stand-in for the full binary. */
export const STANDALONE_CODE = 7;

/** Says on stderr how it was called, and gives back on stdout what it reads; who asks for the version is not read. */
const STANDALONE = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
  const char *command = getenv("CNI_COMMAND");
  static char bytes[65536];
  long got;
  fprintf(stderr, "standalone:%s", command ? command : "");
  for (int at = 0; at < count; at++) fprintf(stderr, " %s", words[at]);
  if (!command || strcmp(command, "VERSION"))
    while ((got = read(0, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, got, stdout);
  return ${STANDALONE_CODE};
}
`;

function must(...cmd: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync({ cmd, cwd: ROOT, stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${cmd.join(" ")}: ${stderr}`);
}

const CALLS = {
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
} as const;

export function openPipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const ends = new Int32Array(2);
  if (openLibc(CALLS).pipe2(ptr(ends), O_CLOEXEC) !== 0) throw new Error("no pipe");
  return { readEnd: ends[0] ?? -1, writeEnd: ends[1] ?? -1 };
}

/** For all who have it; what Bun starts is given its stdin and stdout as ones that block. */
export function unblock(fd: number): void {
  if (openLibc(CALLS).fcntl(fd, F_SETFL, O_NONBLOCK) !== 0) throw new Error("fcntl");
}

/** Builds the launcher into `folder`, or takes another one by MINICNI_LAUNCHER; returns its path. */
export function buildLauncher(folder: string, ...defines: string[]): string {
  if (defines.length === 0 && process.env.MINICNI_LAUNCHER) return process.env.MINICNI_LAUNCHER;
  const target = `${folder}/launcher-${ARCH}`;
  must("make", target, `LAUNCHER_BUILD=${folder}`, `LAUNCHER_DEFINES=${defines.join(" ")}`);
  return target;
}

/** What is built once for all nodes of a test: everything that {@link Node} needs. */
export class Programs {
  readonly folder = mkdtempSync(`${tmpdir()}/mtest-launcher-`);
  readonly launcher = buildLauncher(`${this.folder}/build`);
  readonly impatient = buildLauncher(`${this.folder}/impatient`, "-DANSWER_SECONDS=1");
  readonly standalone = `${this.folder}/minicni-standalone`;
  #nodes = 0;

  constructor() {
    writeFileSync(`${this.folder}/standalone.c`, STANDALONE);
    must("cc", "-static", "-o", this.standalone, `${this.folder}/standalone.c`);
  }

  node(launcher = this.launcher): Node {
    const folder = `${this.folder}/node${++this.#nodes}`;
    mkdirSync(folder);
    copyFileSync(launcher, `${folder}/minicni`);
    copyFileSync(this.standalone, `${folder}/minicni-standalone`);
    return new Node(folder);
  }
}

/** More than the defaults of a call; `argv` in place of the launcher's path alone. */
export interface CallOptions {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What comes there, or a descriptor in its place. */
  readonly stdin?: string | number;
  /** A descriptor in place of a pipe to us. */
  readonly stdout?: number;
}

/** A folder with both programs, and the place of the agent's socket. */
export class Node {
  readonly launcher: string;
  readonly socket: string;
  constructor(readonly folder: string) {
    this.launcher = `${folder}/minicni`;
    this.socket = `${folder}/cni.sock`;
  }

  start({ argv, env, stdin, stdout }: CallOptions = {}) {
    return Bun.spawn({
      cmd: [...(argv ?? [this.launcher])],
      env: { PATH: process.env.PATH, MINICNI_SOCKET: this.socket, CNI_COMMAND: "ADD", ...env },
      stdin: typeof stdin === "number" ? stdin : Buffer.from(stdin ?? "{}"),
      stdout: stdout ?? "pipe",
      stderr: "pipe",
    });
  }

  async run(options: CallOptions = {}): Promise<Finished> {
    const child = this.start(options);
    const { stdout } = child;
    const [out, stderr] = await Promise.all([
      stdout instanceof ReadableStream ? new Response(stdout).text() : "",
      new Response(child.stderr).text(),
    ]);
    return { exitCode: await child.exited, stdout: out, stderr };
  }
}
