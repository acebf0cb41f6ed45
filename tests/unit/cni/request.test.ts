import { describe, expect, test } from "bun:test";
import { checkArgs, parseEnvironment, unknownArgs } from "../../../src/cni/request.ts";
import { thrown } from "../../twin/words.ts";

const ADD = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/var/run/netns/c1",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin:/usr/lib/cni",
};

describe("missing variables", () => {
  test.each([
    ["ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"],
    ["DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"],
    ["CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"],
  ])("%s names all of them at once, in order", (command, names) => {
    expect(thrown(() => parseEnvironment({ CNI_COMMAND: command }))).toMatchObject({
      code: 4,
      message: `required env variables [${names}] missing`,
      details: "",
    });
  });

  test("an empty variable counts as missing", () => {
    expect(thrown(() => parseEnvironment({ ...ADD, CNI_NETNS: "", CNI_IFNAME: "" }))).toMatchObject({
      code: 4,
      message: "required env variables [CNI_NETNS,CNI_IFNAME] missing",
    });
  });

  test.each([{}, { CNI_COMMAND: "" }])("no command at all is named: %j", (variables) => {
    expect(thrown(() => parseEnvironment(variables))).toMatchObject({
      code: 4,
      message: "required env variables [CNI_COMMAND] missing",
    });
  });

  test("VERSION needs nothing else", () => {
    expect(parseEnvironment({ CNI_COMMAND: "VERSION" })).toMatchObject({ command: "VERSION", netns: "" });
  });

  test("DEL needs no netns", () => {
    expect(parseEnvironment({ ...ADD, CNI_COMMAND: "DEL", CNI_NETNS: undefined })).toMatchObject({
      command: "DEL",
      containerId: "c1",
      netns: "",
    });
  });
});

test("an unknown command is kept for whoever has read the configuration", () => {
  expect(parseEnvironment({ CNI_COMMAND: "add" })).toMatchObject({ command: null, commandText: "add" });
});

test("GC and STATUS need CNI_PATH alone, and take the empty variables that libcni always sets", () => {
  for (const CNI_COMMAND of ["GC", "STATUS"]) {
    const empty = { CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "" };
    expect(parseEnvironment({ CNI_COMMAND, CNI_PATH: "/x", ...empty })).toMatchObject({
      command: CNI_COMMAND,
    });
    expect(thrown(() => parseEnvironment({ CNI_COMMAND, ...empty }))).toMatchObject({
      code: 4,
      message: "required env variables [CNI_PATH] missing",
    });
  }
});

test("CNI_ARGS: unknown keys are told, a pair without = is refused by whoever must", () => {
  const known = parseEnvironment({ ...ADD, CNI_ARGS: "IgnoreUnknown=1;FOO=bar;IP=10.0.0.2" });
  expect(unknownArgs(known)).toEqual(["FOO"]);
  expect(() => checkArgs(known)).not.toThrow();
  const bad = parseEnvironment({ ...ADD, CNI_ARGS: "FOO;BAR=1=2" });
  expect(bad.args.get("BAR")).toBe("1=2");
  expect(thrown(() => checkArgs(bad))).toMatchObject({ code: 4, message: 'CNI_ARGS: invalid pair "FOO"' });
});

describe("refused values", () => {
  test.each([
    [{ CNI_CONTAINERID: "../x" }, "invalid characters in containerID", "CNI_CONTAINERID=../x"],
    [{ CNI_CONTAINERID: "-x" }, "invalid characters in containerID", "CNI_CONTAINERID=-x"],
    [{ CNI_CONTAINERID: "a\nb" }, "invalid characters in containerID", "CNI_CONTAINERID=a\nb"],
    [
      { CNI_CONTAINERID: "a".repeat(221) },
      "containerID is too long",
      "CNI_CONTAINERID has 221 characters, at most 220 can be kept",
    ],
    [
      { CNI_IFNAME: "sixteen-chars-xx" },
      "interface name is too long",
      "CNI_IFNAME=sixteen-chars-xx: interface name should be less than 16 characters",
    ],
    [{ CNI_IFNAME: ".." }, "interface name is . or ..", "CNI_IFNAME=.."],
    [{ CNI_IFNAME: "a/b" }, "interface name contains / or : or whitespace characters", "CNI_IFNAME=a/b"],
    [{ CNI_IFNAME: "a#b" }, "interface name has characters that this plugin can't use", "CNI_IFNAME=a#b"],
    [{ CNI_IFNAME: "-n" }, "interface name has characters that this plugin can't use", "CNI_IFNAME=-n"],
  ])("%j is code 4 with the value in the details", (variables, message, details) => {
    expect(thrown(() => parseEnvironment({ ...ADD, ...variables }))).toMatchObject({
      code: 4,
      message,
      details,
    });
  });
});

describe("accepted values", () => {
  test("an ADD gives every part", () => {
    expect(parseEnvironment({ ...ADD, CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=p" })).toEqual({
      command: "ADD",
      commandText: "ADD",
      containerId: "c1",
      netns: "/var/run/netns/c1",
      ifname: "eth0",
      args: new Map([
        ["IgnoreUnknown", "1"],
        ["K8S_POD_NAME", "p"],
      ]),
      badArgs: [],
      path: ["/opt/cni/bin", "/usr/lib/cni"],
    });
  });

  test.each([
    ["", []],
    [";", []],
    ["IPX", []],
    ["=x", []],
    [
      "IP=10.0.0.1;junk;MAC=",
      [
        ["IP", "10.0.0.1"],
        ["MAC", ""],
      ],
    ],
    ["A=b=c", [["A", "b=c"]]],
  ] as [string, [string, string][]][])("CNI_ARGS %j: what is no pair is left alone", (text, pairs) => {
    expect([...parseEnvironment({ ...ADD, CNI_ARGS: text }).args]).toEqual(pairs);
  });
});
