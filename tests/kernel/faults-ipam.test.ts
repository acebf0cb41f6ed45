import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  checked,
  eachOf,
  good,
  killMarked,
  NO_TRACES,
  neverEnding,
  nextFolder,
  survivors,
  told,
  traces,
} from "./faults.ts";
import { BRIDGE, destroySandboxes, type Json, type Pod, Sandbox } from "./sandbox.ts";
import { servesCalls } from "./served-path.ts";

setDefaultTimeout(90_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const TYPE = "otheripam";
const ADDRESS = "10.9.0.7";

/**
 * An IPAM plugin that keeps one address in a file. What it does first: `hang`, or leave a process that holds its
 * stdout and its stderr (`child`), or first do its work and then hang (`late`), at the commands named.
 */
const PLUGIN = `#!/bin/sh
cat > "$OTHER_DIR/stdin"
echo "$CNI_COMMAND" >> "$OTHER_DIR/calls"
work() {
  case $CNI_COMMAND in
    ADD)
      touch "$OTHER_DIR/held"
      echo '{"cniVersion":"1.0.0","ips":[{"address":"${ADDRESS}/24","gateway":"10.9.0.1"}]}' ;;
    DEL | GC) rm -f "$OTHER_DIR/held" ;;
  esac
}
case " $HANG_AT " in *" $CNI_COMMAND "*) sleep 300 ;; esac
case " $CHILD_AT " in *" $CNI_COMMAND "*) sleep 300 & ;; esac
case " $LATE_AT " in *" $CNI_COMMAND "*) work; sleep 300 ;; esac
work
`;

class Other {
  readonly box = new Sandbox();
  readonly dir = nextFolder(this.box);
  readonly pod: Pod = this.box.pod();
  readonly conf: Json = { ...this.box.conf(), ipam: { type: TYPE } };

  constructor() {
    mkdirSync(`${this.box.dir}/cni`);
    writeFileSync(`${this.box.dir}/cni/${TYPE}`, PLUGIN);
    chmodSync(`${this.box.dir}/cni/${TYPE}`, 0o755);
  }

  call(command: string, faults: Readonly<Record<string, string>> = {}) {
    const env = { CNI_PATH: `${this.box.dir}/cni`, OTHER_DIR: this.dir, ...faults };
    const isToHang = faults.HANG_AT !== undefined || faults.LATE_AT !== undefined;
    const conf = { ...this.conf, ...(isToHang ? { deadline: 1 } : {}) };
    return this.box.start(command, this.pod, conf, { env }).done;
  }

  calls(): string[] {
    return readFileSync(`${this.dir}/calls`, "utf8").trim().split("\n");
  }

  isHeld(): boolean {
    return existsSync(`${this.dir}/held`);
  }

  async expectNothing(): Promise<void> {
    expect(this.isHeld()).toBe(false);
    expect(traces(this.box)).toEqual(NO_TRACES);
    expect(await survivors(this.dir)).toEqual([]);
  }
}

// An agent leaves such calls to the binary: by way of a launcher they are the same calls.
describe.skipIf(servesCalls())("the delegated IPAM plugin", () => {
  for (const fault of ["HANG_AT", "LATE_AT"]) {
    test(`hangs at ADD (${fault}): code 11, it is named, killed, and told to DEL`, async () => {
      const other = new Other();
      const { code, text } = told(await other.call("ADD", { [fault]: "ADD" }));
      expect(`${code} ${text}`).toMatch(new RegExp(`^11 .*${TYPE}.*\\(1 s\\)`, "s"));
      expect(other.calls()).toEqual(["ADD", "DEL"]);
      await other.expectNothing();
    });

    test(`hangs at DEL (${fault}): code 11, the link is gone, the next DEL ends it`, async () => {
      const other = new Other();
      expect((await other.call("ADD")).exitCode).toBe(0);
      const { code, text } = told(await other.call("DEL", { [fault]: "DEL" }));
      expect(`${code} ${text}`).toMatch(new RegExp(`^11 .*${TYPE}.*\\(1 s\\)`, "s"));
      expect(other.box.hostVeths()).toEqual([]);
      expect((await other.call("DEL")).exitCode).toBe(0);
      expect(other.calls()).toEqual(["ADD", "DEL", "DEL"]);
      await other.expectNothing();
    });
  }

  test("hangs at ADD, and at the DEL behind it (and stdin stays open elsewhere): bounded, then DEL ends it", async () => {
    const other = new Other();
    // Both take ten seconds, so they are waited for together.
    const open = neverEnding(new Sandbox(), "STATUS", other.pod).done;
    expect(told(await other.call("ADD", { LATE_AT: "ADD", HANG_AT: "DEL" })).code).toBe(11);
    expect(await survivors(other.dir)).toEqual([]);
    expect(told(await open)).toMatchObject({ code: 11, msg: expect.stringContaining("stdin") });
    expect((await other.call("DEL")).exitCode).toBe(0);
    await other.expectNothing();
  });

  test("leaves a process that holds its stdout: neither ADD nor DEL waits for that", async () => {
    const other = new Other();
    const added = await other.call("ADD", { CHILD_AT: "ADD DEL" });
    expect(added.exitCode).toBe(0);
    expect(added.stdout).toContain(ADDRESS);
    expect(other.box.link("eth0", other.pod.netns).addr_info.map(({ local }) => local)).toContain(ADDRESS);
    expect(await other.call("DEL", { CHILD_AT: "ADD DEL" })).toMatchObject({ exitCode: 0, stdout: "" });
    killMarked(other.dir);
    await other.expectNothing();
  });

  test("SIGTERM while it hangs: code 11, it is told to DEL", async () => {
    const other = new Other();
    const env = { CNI_PATH: `${other.box.dir}/cni`, OTHER_DIR: other.dir, LATE_AT: "ADD" };
    const call = other.box.start("ADD", other.pod, other.conf, { env });
    while (!other.isHeld()) await Bun.sleep(5);
    call.kill("SIGTERM");
    expect(told(await call.done).code).toBe(11);
    expect(other.calls()).toEqual(["ADD", "DEL"]);
    await other.expectNothing();
  });

  test("hangs at GC: code 11, the rest is done all the same", async () => {
    const other = new Other();
    expect((await other.call("ADD")).exitCode).toBe(0);
    const gc = { ...other.conf, deadline: 1, "cni.dev/valid-attachments": [] };
    const env = { CNI_PATH: `${other.box.dir}/cni`, OTHER_DIR: other.dir, HANG_AT: "GC" };
    expect(told(await other.box.start("GC", other.pod, gc, { env }).done).code).toBe(11);
    expect((await other.call("DEL")).exitCode).toBe(0);
    await other.expectNothing();
  });
});

describe("an answer that nobody can read", () => {
  const ways: readonly (readonly [string, string])[] = [
    ["stdout is a full disk", 'exec "$@" >/dev/full'],
    ["nobody reads the pipe any more", 'set -o pipefail; { sleep 0.1; exec "$@"; } | true'],
    [
      "the pipe is full and nobody reads it",
      'mkfifo "$FIFO"; exec 3<>"$FIFO"; head -c 65536 /dev/zero >&3; exec "$@" >&3',
    ],
  ];
  for (const [what, script] of ways) {
    test(`${what}: exit status is not 0, nothing hangs, DEL leaves nothing`, async () => {
      const box = new Sandbox();
      const pod = box.pod();
      const argv = ["bash", "-c", script, "bash", ...box.argv()];
      const env = { FIFO: `${box.dir}/fifo` };
      const call = box.start("ADD", pod, box.conf({ deadline: 1 }), { argv, env });
      // Longer than a deadline of one second with all it takes to take the ADD back.
      const done = await Promise.race([call.done, Bun.sleep(30_000)]);
      call.kill();
      await call.done;
      expect(done?.exitCode ?? "hangs").not.toBe("hangs");
      expect(done?.exitCode).not.toBe(0);
      await good(box, "DEL", pod, box.conf());
      expect(traces(box)).toEqual(NO_TRACES);
    });
  }

  test("stdout is closed: nothing hangs, DEL leaves nothing", async () => {
    // The exit status can't tell: Bun opens /dev/null in the place of what is closed, before we run.
    const box = new Sandbox();
    const pod = box.pod();
    await box.start("ADD", pod, box.conf(), { argv: ["sh", "-c", 'exec "$@" >&-', "sh", ...box.argv()] })
      .done;
    await good(box, "DEL", pod, box.conf());
    expect(traces(box)).toEqual(NO_TRACES);
  });

  test("whoever reads slowly gets all of it", async () => {
    await eachOf([1, 2], 2, async () => {
      const box = new Sandbox();
      const pod = box.pod();
      const script = 'set -o pipefail; "$@" | { sleep 1; cat; }';
      const done = await box.start("ADD", pod, box.conf(), {
        argv: ["bash", "-c", script, "bash", ...box.argv()],
      }).done;
      await checked(box, pod, box.conf(), done);
      expect(box.link(BRIDGE).flags).toContain("UP");
    });
  });
});
