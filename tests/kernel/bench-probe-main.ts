import { parseArgs } from "node:util";
import { PROBES, runProbe } from "../../src/entry/bench/network/probe.ts";

/** One end of a probe as a program of its own, with the options of `bench probe`. */
const { values } = parseArgs({
  options: {
    role: { type: "string", default: "client" },
    address: { type: "string", default: "" },
    port: { type: "string", default: "" },
    what: { type: "string", default: "" },
    milliseconds: { type: "string", default: "" },
  },
});
try {
  const text = await runProbe({
    role: values.role === "server" ? "server" : "client",
    address: values.address,
    port: Number(values.port),
    what: PROBES.find((known) => known === values.what) ?? "udp",
    milliseconds: Number(values.milliseconds),
  });
  process.stdout.write(text);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
