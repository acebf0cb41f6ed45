import { describe, expect, test } from "bun:test";
import { adviceOf, describeFailure } from "../../../src/kube/advice.ts";

const failure = (message: string, code?: string) =>
  Object.assign(new Error(message), code === undefined ? {} : { code });

describe("a failure on the way to the API server", () => {
  test.each([
    ["ECONNREFUSED", "is the API server running, and is this its address and port?; see kube-proxy"],
    ["EHOSTUNREACH", "nothing answers there: see this node's own network; see kube-proxy"],
    ["CERT_HAS_EXPIRED", "see the server's certificate, and this node's clock"],
  ])("%s: %s", (code, advice) => {
    expect(describeFailure(failure("no", code), "see kube-proxy")).toBe(`${code}: no (${advice})`);
  });

  test("no answer in time is one of the way as well, a silence later is not", () => {
    expect(describeFailure(failure("no answer for 10 s"), "see kube-proxy")).toBe(
      "no answer for 10 s (see kube-proxy)",
    );
    expect(describeFailure(failure("no byte for 30 s"), "see kube-proxy")).toBe("no byte for 30 s");
  });

  test("without advice the message alone", () => {
    expect(describeFailure(failure("no answer for 10 s"), undefined)).toBe("no answer for 10 s");
    expect(describeFailure(failure("odd", "EODD"), "see kube-proxy")).toBe("EODD: odd");
    expect(describeFailure(7, undefined)).toBe("7");
  });
});

test("403 has another advice for what reads and for what writes", () => {
  expect(adviceOf("403 GET")).toContain("list and watch on nodes");
  expect(adviceOf("403 PATCH")).toContain("patch on nodes/status");
});
