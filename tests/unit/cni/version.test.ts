import { describe, expect, test } from "bun:test";
import { CniError, formatError } from "../../../src/cni/errors.ts";
import { formatVersions, isAtLeast, parseVersion, SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";
import { thrown } from "../../twin/words.ts";

describe("versions", () => {
  test.each([...SUPPORTED_VERSIONS])("%s is spoken", (version) => {
    expect(parseVersion(version)).toBe(version);
  });

  test.each(["", "0.1", "0.3", "1.0", "v1.0.0", "1.0.0 ", "1.2.0", "01.0.0"])(
    "%j is code 1 with both sides in the details",
    (text) => {
      expect(thrown(() => parseVersion(text))).toMatchObject({
        code: 1,
        message: "incompatible CNI versions",
        details: `config is "${text}", plugin supports ["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]`,
      });
    },
  );

  test("are ordered as they were published", () => {
    expect(isAtLeast("1.0.0", "0.4.0")).toBe(true);
    expect(isAtLeast("0.4.0", "0.4.0")).toBe(true);
    expect(isAtLeast("0.3.1", "0.4.0")).toBe(false);
  });

  test("VERSION answers with the asked version, else the newest", () => {
    const supported = '"supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}';
    expect(formatVersions(null)).toBe(`{"cniVersion":"1.1.0",${supported}`);
    expect(formatVersions("0.4.0")).toBe(`{"cniVersion":"0.4.0",${supported}`);
  });
});

describe("formatError", () => {
  test("is the document of the specification on one line", () => {
    expect(formatError("1.0.0", new CniError(7, 'bad "x"', "line 1\nline 2"))).toBe(
      '{"cniVersion":"1.0.0","code":7,"msg":"bad \\"x\\"","details":"line 1\\nline 2"}',
    );
  });
});
