import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import {
  InstallConflict,
  leadsToOurs,
  type ObservedInstall,
  planInstall,
} from "../../../src/topology/install.ts";
import { thrown } from "../../twin/words.ts";

const DIGEST = "a".repeat(64);
const OTHER = "b".repeat(64);
const LAUNCHER = "c".repeat(64);
const OLD = JSON.stringify({
  cniVersion: "0.1.0",
  name: "minicni",
  type: "minicni",
  subnet: "10.244.1.0/24",
});

/** A node on which all is as it should be, but for what a test says. */
function observed(more: Partial<ObservedInstall> = {}): ObservedInstall {
  return {
    binDir: "/bin",
    confDir: "/net.d",
    source: { path: "/image/minicni", digest: DIGEST, version: "1.2.3" },
    launcher: { content: new Uint8Array([1]), digest: LAUNCHER },
    standalone: { digest: DIGEST, hasMode: true },
    plugin: { digest: LAUNCHER, hasMode: true, isOurs: true },
    isFolder: true,
    loopback: "there",
    temporaries: [],
    hasKeptBinary: false,
    configs: [],
    ...more,
  };
}

const planned = (more: Partial<ObservedInstall>) => planInstall(observed(more)).stages.map(formatPlan);
const config = (name: string, text: string | null = "{}") => ({ name, text });
const NOTHING = "# nothing to change\n";
const PUT_STANDALONE = "install -m 0755 /image/minicni /bin/minicni-standalone\n";
const PUT_LAUNCHER = "minicni launcher --out /bin/minicni\n";
const theirs = { digest: OTHER, hasMode: true, isOurs: false };

describe("planInstall", () => {
  test("has nothing to do where all is as it should be", () => {
    expect(planInstall(observed())).toEqual({ stages: [[], []], notes: [] });
  });

  test.each<[string, Partial<ObservedInstall>, string]>([
    [
      "neither program",
      { standalone: null, plugin: null },
      `# minicni 1.2.3 (sha256 aaaaaaaaaaaa): /bin has none\n${PUT_STANDALONE}# launcher of minicni 1.2.3 (sha256 cccccccccccc): /bin has none\n${PUT_LAUNCHER}`,
    ],
    [
      "others of both",
      { standalone: { digest: OTHER, hasMode: true }, plugin: theirs },
      `# minicni 1.2.3 (sha256 aaaaaaaaaaaa): /bin has another one (sha256 bbbbbbbbbbbb)\n${PUT_STANDALONE}# launcher of minicni 1.2.3 (sha256 cccccccccccc): /bin has another one (sha256 bbbbbbbbbbbb)\n${PUT_LAUNCHER}`,
    ],
    [
      "the full binary of before in the launcher's place",
      { standalone: null, plugin: { digest: DIGEST, hasMode: true, isOurs: true } },
      `# minicni 1.2.3 (sha256 aaaaaaaaaaaa): /bin has none\n${PUT_STANDALONE}# launcher of minicni 1.2.3 (sha256 cccccccccccc): /bin has another one (sha256 aaaaaaaaaaaa)\n${PUT_LAUNCHER}`,
    ],
    [
      "the full binary alone, as a killed installer leaves it",
      { plugin: null },
      `# launcher of minicni 1.2.3 (sha256 cccccccccccc): /bin has none\n${PUT_LAUNCHER}`,
    ],
    [
      "another full binary beside the right launcher",
      { standalone: { digest: OTHER, hasMode: true } },
      `# minicni 1.2.3 (sha256 aaaaaaaaaaaa): /bin has another one (sha256 bbbbbbbbbbbb)\n${PUT_STANDALONE}`,
    ],
    [
      "the right full binary with another mode",
      { standalone: { digest: DIGEST, hasMode: false } },
      `# minicni 1.2.3 (sha256 aaaaaaaaaaaa): the mode of the one in /bin is not as it should be\n${PUT_STANDALONE}`,
    ],
    [
      "the right launcher with another mode",
      { plugin: { digest: LAUNCHER, hasMode: false, isOurs: true } },
      `# launcher of minicni 1.2.3 (sha256 cccccccccccc): the mode of the one in /bin is not as it should be\n${PUT_LAUNCHER}`,
    ],
    [
      "the rest of killed installers",
      { temporaries: ["minicni.tmp", "minicni-standalone.tmp"] },
      "# what a killed installer left\nrm -f /bin/minicni-standalone.tmp\nrm -f /bin/minicni.tmp\n",
    ],
  ])("with %s, in the first stage", (_what, more, text) => {
    expect(planned(more)).toEqual([text, NOTHING]);
  });

  test("provides loopback only where there is nothing of that name", () => {
    expect(planned({ loopback: "absent" })[1]).toBe(
      "# /bin has no loopback, which containerd needs\nln -s minicni /bin/loopback\n",
    );
    const broken = planInstall(observed({ loopback: "broken" }));
    expect(broken.stages).toEqual([[], []]);
    expect(broken.notes).toHaveLength(1);
  });

  test("refuses what is no file", () => {
    const refused = thrown(() => planInstall(observed({ plugin: { ...theirs, digest: null } })));
    expect(refused).toBeInstanceOf(InstallConflict);
    expect(refused).toMatchObject({ message: "/bin/minicni is no file" });
    const standalone = { digest: null, hasMode: false };
    expect(thrown(() => planInstall(observed({ standalone })))).toMatchObject({
      message: "/bin/minicni-standalone is no file",
    });
  });

  test("refuses a folder that is not there, also when it only says what it would do", () => {
    const refused = thrown(() => planInstall(observed({ isFolder: false })));
    expect(refused).toMatchObject({ message: "/bin is no folder" });
    expect(refused).toMatchObject({ hint: expect.stringContaining("mkdir -p /bin;") });
  });

  test.each([
    "minicni",
    "./minicni",
    "/bin/minicni",
    "//bin/./minicni",
    ".//minicni",
    "minicni-standalone",
    "/bin/minicni-standalone",
  ])("a loopback that is a link to %s is ours", (target) => {
    expect(leadsToOurs(target, "/bin")).toBe(true);
    expect(leadsToOurs(`${target}x`, "/bin")).toBe(false);
  });

  test("keeps the plugin of Go minicni before it replaces it, and takes its configuration away behind that", () => {
    const more = { configs: [config("10-minicni.conf", OLD)], standalone: null, plugin: theirs };
    const [first = "", second] = planned(more);
    expect(first).toContain("ln /bin/minicni /bin/minicni.replaced\n");
    const order = [PUT_STANDALONE, "ln /bin", PUT_LAUNCHER].map((command) => first.indexOf(command));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).not.toContain(-1);
    expect(second).toContain("mv -n /net.d/10-minicni.conf /net.d/10-minicni.conf.replaced\n");
    // What was kept first is what was there before us.
    expect(planned({ ...more, hasKeptBinary: true })[0]).not.toContain("ln ");
    // Another launcher of ours is no plugin of Go minicni.
    expect(planned({ ...more, plugin: { ...theirs, isOurs: true } })[0]).not.toContain("ln ");
    const configs = [...more.configs, config("10-minicni.conf.replaced", OLD)];
    expect(planned({ ...more, configs })[1]).toContain("rm -f /net.d/10-minicni.conf.replaced\n");
  });

  test.each(["05-minicni.conf", "20-net.conf"])(
    "knows Go minicni by what its configuration says, as %s",
    (name) => {
      const more = { configs: [config(name, OLD)], plugin: theirs };
      const [first, second] = planned(more);
      expect(first).toContain("ln /bin/minicni /bin/minicni.replaced\n");
      expect(second).toContain(`mv -n /net.d/${name} /net.d/${name}.replaced\n`);
    },
  );

  test("refuses to keep one in the place of somebody's file", () => {
    const configs = [config("05-a.conf", OLD), config("05-a.conf.replaced", "notes")];
    const refused = thrown(() => planInstall(observed({ configs })));
    expect(refused).toMatchObject({
      hint: "move it away: mv /net.d/05-a.conf.replaced /net.d/05-a.conf.replaced.old",
    });
  });

  test("says that a runtime stops at what is no configuration", () => {
    const { notes } = planInstall(observed({ configs: [config("05-torn.conf", "{")] }));
    expect(notes[0]).toContain("is no network configuration that can be read");
    expect(notes[0]).toContain("containerd stops at it, and no pod starts");
  });

  test("has nothing to say of a list before ours that calls our plugin", () => {
    const text = JSON.stringify({ name: "mine", plugins: [{ type: "minicni" }, { type: "portmap" }] });
    expect(planInstall(observed({ configs: [config("05-mine.conflist", text)] })).notes).toEqual([]);
  });

  test("writes names that can be pasted, and breaks no line by a stranger's text", () => {
    const text = JSON.stringify({ name: "a\nb", type: "x" });
    const { notes } = planInstall(observed({ configs: [config("05 it's.conf", text)] }));
    expect(notes[0]).toContain(`mv '/net.d/05 it'\\''s.conf' '/net.d/05 it'\\''s.conf'.disabled`);
    expect(notes[0]).not.toContain("\n");
  });

  test("names what sorts before ours, and nothing else", () => {
    const names = ["10-minicni.conflist", "05-a.conf", "05-a.conf.bak", "10-minicni.conf", "99-z.conf"];
    const { stages, notes } = planInstall(observed({ configs: names.map((name) => config(name)) }));
    expect(stages).toEqual([[], []]);
    expect(notes.map((note) => note.split(" ")[0])).toEqual(["/net.d/05-a.conf", "/net.d/10-minicni.conf"]);
  });
});
