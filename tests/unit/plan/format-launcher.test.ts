import { expect, test } from "bun:test";
import { formatStep } from "../../../src/plan/format.ts";
import { HOST } from "../../../src/plan/step.ts";

test("the launcher is written by a command of ours that can be pasted", () => {
  const step = {
    op: "file.launcher",
    content: new Uint8Array([1]),
    mode: 0o755,
    netns: HOST,
    why: "",
  } as const;
  expect(formatStep({ ...step, to: "/opt/cni/bin/minicni" })).toBe(
    "minicni launcher --out /opt/cni/bin/minicni",
  );
  expect(formatStep({ ...step, to: "/a b/x" })).toBe("minicni launcher --out '/a b/x'");
});
