import { afterAll, describe, expect, test } from "bun:test";
import { CASES } from "./cases.ts";
import { cleanUp } from "./node.ts";
import { REFERENCE } from "./outcomes.ts";
import { reference, releaseOf } from "./subject.ts";
import { verdict } from "./trial.ts";

const TIMEOUT = 60_000;
const SUBJECT = reference();

afterAll(cleanUp);

if (SUBJECT === null) {
  test.skip("the reference plugins are not installed", () => {});
} else {
  const release = releaseOf(SUBJECT);
  describe(`reference ${release}, as recorded,`, () => {
    for (const kase of CASES) {
      const breaks = REFERENCE[release][kase.rule] !== undefined;
      const name = `${breaks ? "breaks" : "keeps"} rule ${kase.rule}: ${kase.title}`;
      test(
        name,
        async () => {
          const differences = await verdict(kase, SUBJECT);
          if (breaks) expect(differences).not.toBeNull();
          else expect(differences).toBeNull();
        },
        TIMEOUT,
      );
    }
  });
}
