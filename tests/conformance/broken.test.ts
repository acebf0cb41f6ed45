import { afterAll, describe, expect, test } from "bun:test";
import { CASES } from "./cases.ts";
import { cleanUp } from "./node.ts";
import { scripted } from "./subject.ts";
import { verdict } from "./trial.ts";

const TIMEOUT = 120_000;
const VERSIONS = '["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]';
const RESULT =
  '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"%s"}],"ips":[{"address":"10.1.2.2/24","interface":0}]}';

/** Plugins that are wrong on purpose, and the few rules each keeps all the same. */
const BROKEN: readonly { name: string; script: string; keeps: readonly number[] }[] = [
  { name: "babbler", script: 'echo \'{"a":1}{"b":2}\'', keeps: [] },
  { name: "mute", script: "echo went wrong >&2; exit 1", keeps: [] },
  {
    // Whoever always refuses with the code of a bad name is right about bad names only.
    name: "refuser",
    script: 'echo \'{"cniVersion":"1.0.0","code":7,"msg":"no"}\'; exit 1',
    keeps: [],
  },
  {
    // Well-formed answers, and nothing done.
    name: "pretender",
    script: `case "$CNI_COMMAND" in
ADD) printf '${RESULT}' "$CNI_NETNS" ;;
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":${VERSIONS}}' ;;
esac`,
    keeps: [4, 24, 63],
  },
];

afterAll(cleanUp);

describe("cases are broken by", () => {
  for (const { name, script, keeps } of BROKEN) {
    test(
      `the ${name}, ${keeps.length === 0 ? "all of them" : `all but ${keeps.join(", ")}`}`,
      async () => {
        const subject = scripted(name, script);
        const kept: number[] = [];
        for (const kase of CASES) if ((await verdict(kase, subject)) === null) kept.push(kase.rule);
        expect(kept).toEqual([...keeps]);
      },
      TIMEOUT,
    );
  }
});
