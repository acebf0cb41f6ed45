import { afterAll, expect, test } from "bun:test";
import { CASES } from "./cases.ts";
import { cleanUp } from "./node.ts";
import { minicni } from "./subject.ts";
import { verdict } from "./trial.ts";

const TIMEOUT = 60_000;
const SUBJECT = minicni();

afterAll(cleanUp);

for (const kase of CASES) {
  test(
    `rule ${kase.rule}: ${kase.title}`,
    async () => expect(await verdict(kase, SUBJECT)).toBeNull(),
    TIMEOUT,
  );
}
