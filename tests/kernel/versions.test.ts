import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { destroySandboxes, type Json, must, NOTHING, type Pod, Sandbox } from "./sandbox.ts";
import { errorOf, type Finished } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
type Version = (typeof VERSIONS)[number];
const SILENT = { exitCode: 0, stdout: "", stderr: "" };
const DNS = { nameservers: ["10.96.0.10"], search: ["example.org"] };
const OLD = ["0.1.0", "0.2.0"];

/** A result as it stands on stdout. */
function json(done: Finished): Json {
  if (done.exitCode !== 0) throw new Error(done.stdout + done.stderr);
  const result: Json = JSON.parse(done.stdout);
  return result;
}

function addAs(box: Sandbox, pod: Pod, cniVersion: Version, overrides: Json = {}): Json {
  return json(box.call("ADD", pod, box.conf({ cniVersion, ...overrides })));
}

/** What the plugin before us in a list may have said, in the words of a version. */
function priorResult(cniVersion: Version): Json {
  if (OLD.includes(cniVersion)) {
    const routes = [{ dst: "10.50.0.0/16", gw: "10.40.0.1" }];
    return { cniVersion, ip4: { ip: "10.40.0.2/24", gateway: "10.40.0.1", routes }, dns: DNS };
  }
  const isOld = cniVersion < "1";
  return {
    cniVersion,
    interfaces: [{ name: "first0" }, { name: "eth9", mac: "02:00:00:00:00:09", sandbox: "/run/netns/any" }],
    ips: [
      { address: "10.40.0.2/24", gateway: "10.40.0.1", interface: 1, ...(isOld ? { version: "4" } : {}) },
    ],
    routes: [{ dst: "10.50.0.0/16", gw: "10.40.0.1" }],
    dns: DNS,
  };
}

describe("the versions of the protocol", () => {
  for (const cniVersion of VERSIONS) {
    test(`${cniVersion}: ADD, CHECK where there is one, DEL, with its own result as prevResult`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const result = addAs(box, pod, cniVersion, { dns: DNS });
      expect(result.cniVersion).toBe(cniVersion);
      expect(result.dns).toEqual(DNS);
      if (OLD.includes(cniVersion)) {
        const routes = (dst: string) => [{ dst }];
        expect(result).toEqual({
          cniVersion,
          ip4: { ip: "10.7.0.2/24", gateway: "10.7.0.1", routes: routes("0.0.0.0/0") },
          ip6: { ip: "fd00:7::2/64", gateway: "fd00:7::1", routes: routes("::/0") },
          dns: DNS,
        });
      } else {
        const isOld = cniVersion < "1";
        const ips = [
          { interface: 2, address: "10.7.0.2/24", gateway: "10.7.0.1" },
          { interface: 2, address: "fd00:7::2/64", gateway: "fd00:7::1" },
        ];
        const [v4, v6] = ips;
        expect(result.ips).toEqual(
          isOld
            ? [
                { version: "4", ...v4 },
                { version: "6", ...v6 },
              ]
            : ips,
        );
        expect(JSON.stringify(result.interfaces).includes('"mtu"')).toBe(cniVersion === "1.1.0");
      }
      expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
      const check = box.call("CHECK", pod, box.conf({ cniVersion, prevResult: result }));
      if (cniVersion < "0.4.0") expect(errorOf(check).code).toBe(1);
      else expect(check).toEqual(SILENT);
      expect(box.call("DEL", pod, box.conf({ cniVersion, prevResult: result }))).toEqual(SILENT);
      expect(box.leftovers()).toEqual(NOTHING);
    });
  }

  test("no version at all, or an empty one, is 0.1.0", () => {
    const box = new Sandbox();
    for (const cniVersion of [undefined, ""]) {
      const result = json(box.call("ADD", box.pod(), box.conf({ cniVersion })));
      expect(Object.keys(result)).toEqual(["cniVersion", "ip4", "ip6", "dns"]);
      expect(result.cniVersion).toBe("0.1.0");
    }
    const failed = errorOf(box.call("CHECK", box.pod(), box.conf({ cniVersion: undefined })));
    expect(failed).toMatchObject({
      cniVersion: "0.1.0",
      code: 1,
      msg: "config version does not allow CHECK",
    });
  });

  test("one that nobody speaks: code 1, nothing is made", () => {
    const box = new Sandbox();
    for (const cniVersion of ["0.9.0", "1.2.0", "1.1", " 1.1.0", "v1.1.0"]) {
      const failed = errorOf(box.call("ADD", box.pod(), box.conf({ cniVersion })));
      expect(failed).toMatchObject({ cniVersion, code: 1, msg: "incompatible CNI versions" });
      expect(failed.details).toContain(`config is "${cniVersion}", plugin supports [`);
    }
    expect(box.leftovers()).toEqual(NOTHING);
  });
});

describe("a prevResult of one version under a configuration of another", () => {
  for (const [from, to] of [
    ["0.3.1", "0.4.0"],
    ["0.4.0", "1.1.0"],
    ["1.0.0", "0.4.0"],
    ["1.1.0", "1.0.0"],
  ] as const) {
    test(`made under ${from}, CHECK and DEL under ${to}`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const prevResult = addAs(box, pod, from);
      expect(box.call("CHECK", pod, box.conf({ cniVersion: to, prevResult }))).toEqual(SILENT);
      box.node("nsenter", `--net=${pod.netns}`, "ip", "addr", "del", "10.7.0.2/24", "dev", "eth0");
      const broken = errorOf(box.call("CHECK", pod, box.conf({ cniVersion: to, prevResult })));
      expect(broken).toMatchObject({ cniVersion: to, code: 999 });
      expect(broken.details).toContain("lacks 10.7.0.2/24");
      expect(box.call("DEL", pod, box.conf({ cniVersion: to, prevResult }))).toEqual(SILENT);
    });
  }

  test("one of an unknown version: CHECK and ADD say so (1), DEL does not care", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const prevResult = { ...addAs(box, pod, "1.1.0"), cniVersion: "7.0.0" };
    for (const [command, whose] of [
      ["CHECK", pod],
      ["ADD", box.pod()],
    ] as const) {
      expect(errorOf(box.call(command, whose, box.conf({ prevResult }))).code).toBe(1);
    }
    expect(box.call("DEL", pod, box.conf({ prevResult }))).toEqual(SILENT);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("one without a version is read as the configuration's", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const { cniVersion: _, ...prevResult } = addAs(box, pod, "1.0.0");
    expect(box.call("CHECK", pod, box.conf({ cniVersion: "1.0.0", prevResult }))).toEqual(SILENT);
  });
});

describe("ADD behind another plugin of a list", () => {
  for (const from of VERSIONS) {
    test(`keeps what it said in version ${from}, and comes behind it`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const prior = priorResult(from);
      const result = addAs(box, pod, "1.1.0", { prevResult: prior });
      const before = OLD.includes(from) ? 0 : 2;
      expect(result).toMatchObject({
        interfaces: [
          ...(before === 0 ? [] : [{ name: "first0" }, { name: "eth9", sandbox: "/run/netns/any" }]),
          { name: "br0" },
          { name: box.hostVeths()[0] },
          { name: "eth0", sandbox: pod.netns },
        ],
        ips: [
          { address: "10.40.0.2/24", gateway: "10.40.0.1", ...(before === 0 ? {} : { interface: 1 }) },
          { address: "10.7.0.2/24", interface: before + 2 },
          { address: "fd00:7::2/64", interface: before + 2 },
        ],
        routes: [{ dst: "10.50.0.0/16", gw: "10.40.0.1" }, { dst: "0.0.0.0/0" }, { dst: "::/0" }],
        dns: DNS,
      });
      expect(must("nsenter", `--net=${pod.netns}`, "ip", "-4", "addr")).not.toContain("10.40.0.2");
      expect(box.call("DEL", pod, box.conf({ prevResult: result }))).toEqual(SILENT);
    });
  }

  test("CHECK looks at our part of the merged result only", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const prior = { ...priorResult("1.1.0"), routes: [] };
    const prevResult = addAs(box, pod, "1.1.0", { prevResult: prior });
    expect(box.call("CHECK", pod, box.conf({ prevResult }))).toEqual(SILENT);
  });

  test("our own dns, where there is one, takes the place of theirs", () => {
    const box = new Sandbox();
    const own = { nameservers: ["10.7.0.53"] };
    const result = addAs(box, box.pod(), "1.1.0", { prevResult: priorResult("1.1.0"), dns: own });
    expect(result.dns).toEqual(own);
  });
});
