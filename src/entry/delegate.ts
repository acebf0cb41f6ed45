import { CNI_CODE, CniError } from "../cni/errors.ts";
import { canonicalKeys } from "../cni/keys.ts";
import { parseResult } from "../cni/prev.ts";
import type { Command } from "../cni/request.ts";
import { UNDO_TIME_MS } from "../host/deadline.ts";
import { HostError, messageOf } from "../host/errors.ts";
import type { Finished, Host } from "../host/machine.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { networkOf } from "../net/prefix.ts";
import type { AddressSource, Taken } from "./addresses.ts";
import { attempt } from "./attempt.ts";
import type { Call } from "./call.ts";

/**
 * Addresses from another IPAM plugin (SPEC §4): its binary from CNI_PATH, our own environment with at most another
 * CNI_COMMAND, the configuration as it arrived. Its errors pass through with their codes.
 */
export function delegatedAddresses(type: string, call: Call, host: Host): AddressSource {
  const run = (command: Command, of?: AttachmentKey) => runPlugin(type, command, of, call, host);
  return {
    name: type,
    prepare: () => {
      findPlugin(type, call, host);
      return async () => {
        try {
          return readTaken(type, await run("ADD"), call);
        } catch (error) {
          // Whatever it did before it failed (SPEC §4; cni#530).
          host.deadline.renew(UNDO_TIME_MS);
          await attempt(`DEL of ${type} after its failed ADD`, host, () => run("DEL"));
          throw error;
        }
      };
    },
    held: (_of, known) => [...(known ?? [])],
    release: async (of) => {
      await run("DEL", of);
    },
    check: async () => {
      await run("CHECK");
    },
    status: async () => {
      if (lookFor(type, call, host) === null) {
        const message = `IPAM plugin ${type} is not in path [${call.environment.path.join(" ")}]`;
        throw new CniError(CNI_CODE.notAvailable, message, `ipam.type=${type}: install it there`);
      }
      await run("STATUS");
    },
    collect: async () => {
      await run("GC");
      return [];
    },
  };
}

function readTaken(type: string, done: Finished, { conf }: Call): Taken {
  const result = parseResult(readOutput(type, done), conf.cniVersion, `the result of ${type}`);
  if (result === null || result.ips.length === 0) {
    const details = `${type} answered ${done.stdout.trim() || "nothing"}`;
    throw new CniError(CNI_CODE.invalidConfig, "IPAM plugin returned missing IP config", details);
  }
  const addresses = result.ips.map(({ address, gateway }) => ({ prefix: address, gateway }));
  const subnets = addresses.map(({ prefix }) => networkOf(prefix));
  return { addresses, subnets, routes: result.routes, dns: result.dns };
}

/** The first folder of CNI_PATH that has a regular file of this name, as libcni looks (pkg/invoke/find.go). */
function lookFor(type: string, { environment }: Call, host: Host): string | null {
  return environment.path.map((folder) => `${folder}/${type}`).find((path) => host.isFile(path)) ?? null;
}

function findPlugin(type: string, call: Call, host: Host): string {
  const found = lookFor(type, call, host);
  if (found !== null) return found;
  throw new CniError(
    CNI_CODE.invalidConfig,
    `failed to find plugin "${type}" in path [${call.environment.path.join(" ")}]`,
    `ipam.type=${type}: install it there, or use host-local or minicni`,
  );
}

/** The JSON of an answer. Throws code 6 for anything else, and the error that a plugin told with exit status 0. */
function readOutput(type: string, done: Finished): unknown {
  try {
    const value = canonicalKeys(JSON.parse(done.stdout));
    if (typeof value !== "object" || value === null || !("code" in value) || "ips" in value) return value;
  } catch (error) {
    const reason = messageOf(error);
    const details = `it printed: ${done.stdout.trim().slice(0, 500) || "nothing"}`;
    throw new CniError(CNI_CODE.decode, `could not parse the result of ${type}: ${reason}`, details);
  }
  throw readError(type, "ADD", done);
}

async function runPlugin(
  type: string,
  command: Command,
  of: AttachmentKey | undefined,
  call: Call,
  host: Host,
): Promise<Finished> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(call.variables)) if (value !== undefined) env[name] = value;
  env.CNI_COMMAND = command;
  if (of !== undefined) {
    env.CNI_CONTAINERID = of.containerId;
    env.CNI_IFNAME = of.ifname;
  }
  const argv = [findPlugin(type, call, host)];
  const done = await host.spawn({ argv, stdin: call.stdin, env, timeoutMs: host.deadline.left() });
  if (done.stderr.trim() !== "") host.log(`${type}: ${done.stderr.trim()}`);
  if (done.exitCode === 0) return done;
  throw readError(type, command, done);
}

/** The error document of another plugin; what it wrote to stderr when there is none. */
function readError(type: string, command: string, done: Finished): Error {
  try {
    const value: unknown = JSON.parse(done.stdout);
    if (typeof value === "object" && value !== null && "code" in value && "msg" in value) {
      const details = "details" in value ? String(value.details ?? "") : "";
      const code = Number(value.code);
      return new CniError(Number.isInteger(code) ? code : CNI_CODE.internal, String(value.msg), details);
    }
  } catch {
    // No JSON: told below as it is.
  }
  const said = done.stderr.trim() || done.stdout.trim() || "nothing";
  return new HostError(
    `IPAM plugin ${type} failed at ${command} (exit ${done.exitCode}) and said: ${said}`,
    `run ${type} by hand with the same configuration to see more`,
  );
}
