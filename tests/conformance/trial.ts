import { isDeepStrictEqual } from "node:util";
import { FAKE, FakeIpam } from "./fake-ipam.ts";
import { type Finished, type Json, Node, type Pod, run, type Variables } from "./node.ts";
import type { Subject } from "./subject.ts";

/** One rule of the checklist and the probes that show whether a plugin keeps it. */
export interface Case {
  readonly rule: number;
  readonly title: string;
  readonly level: string;
  /** Says each difference by the trial's words; what it throws counts as a difference too. */
  readonly probe: (trial: Trial) => void | Promise<void>;
}

/** The success document in any version's shape. */
export interface Result {
  readonly cniVersion?: string;
  readonly interfaces?: readonly {
    readonly name: string;
    readonly mac?: string;
    readonly mtu?: number;
    readonly sandbox?: string;
  }[];
  readonly ips?: readonly {
    readonly address: string;
    readonly gateway?: string;
    readonly version?: string;
    readonly interface?: number;
  }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
  readonly dns?: Json;
  readonly ip4?: { readonly ip?: string; readonly gateway?: string; readonly routes?: readonly Json[] };
  readonly ip6?: { readonly ip?: string; readonly gateway?: string; readonly routes?: readonly Json[] };
}

/** What a refusal has to say; what is left out may be anything. */
export interface Wanted {
  readonly code?: number;
  readonly msg?: string | RegExp;
  readonly details?: string | RegExp;
}

/** A document of the error form. */
export interface Refusal {
  readonly cniVersion?: unknown;
  readonly code?: unknown;
  readonly msg?: unknown;
  readonly details?: unknown;
}

/** Range sets of exactly `count` addresses: a leaked one is seen by the next ADD. */
export function few(count: number): Json {
  return { ranges: [[{ subnet: "10.1.2.0/24", rangeStart: "10.1.2.10", rangeEnd: `10.1.2.${9 + count}` }]] };
}

/** The address of a result in any shape, without its prefix length. */
export function addressOf(result: Result): string {
  return (result.ips?.[0]?.address ?? result.ip4?.ip ?? result.ip6?.ip ?? "").replace(/\/.*/, "");
}

/** One run of a case: the plugin in a fresh node, and the differences found. */
export class Trial {
  readonly node = new Node();
  readonly differences: string[] = [];

  constructor(readonly subject: Subject) {}

  /** The subject's configuration with keys of our own above. */
  conf(overrides: Json = {}, ipam: Json = {}): Json {
    const places = { stateDir: `${this.node.dir}/state`, dataDir: `${this.node.dir}/data` };
    return { ...this.subject.conf(places, ipam), ...overrides };
  }

  /** An IPAM plugin that is told what to answer, and the configuration that delegates to it. */
  fake(overrides: Json = {}): { readonly ipam: FakeIpam; readonly conf: Json } {
    return { ipam: new FakeIpam(this.node), conf: this.conf({ ipam: { type: FAKE }, ...overrides }) };
  }

  variables(command: string, pod: Pod | null, env: Variables = {}): Variables {
    const path = [...this.subject.cniPath, this.node.bin].join(":");
    const attachment = pod && { CNI_CONTAINERID: pod.id, CNI_NETNS: pod.netns, CNI_IFNAME: pod.ifname };
    return { CNI_COMMAND: command, CNI_PATH: path, ...attachment, ...env };
  }

  argv(binary = this.subject.binary): string[] {
    return ["nsenter", `--net=${this.node.netns}`, binary];
  }

  /** Runs the plugin; `pod` null leaves out the variables of an attachment. */
  call(command: string, pod: Pod | null, conf: Json | string = this.conf(), env: Variables = {}): Finished {
    const stdin = typeof conf === "string" ? conf : JSON.stringify(conf);
    return run(this.argv(), stdin, this.variables(command, pod, env));
  }

  /** An ADD that other probes build on; ends the case when it fails or made no interface. */
  add(pod: Pod, conf: Json = this.conf(), env: Variables = {}): Result {
    const result = this.added(`ADD of ${pod.id}`, this.call("ADD", pod, conf, env));
    if (result === null) throw new Error("nothing to build the other probes on");
    if (this.node.link(pod.ifname, pod.netns) !== undefined) return result;
    throw new Error(`ADD of ${pod.id}: there is no ${pod.ifname} in its namespace`);
  }

  /** Wants success with exactly one result document. */
  added(what: string, done: Finished): Result | null {
    if (done.exitCode !== 0) {
      this.differences.push(`${what}: ${told(done)}, wanted a result`);
      return null;
    }
    const result: Result | null = parsed(done.stdout);
    if (result === null) this.differences.push(`${what}: stdout is ${shown(done.stdout)}, wanted one result`);
    return result;
  }

  /** Wants success that says nothing on stdout. */
  silent(what: string, done: Finished): void {
    if (done.exitCode !== 0) this.differences.push(`${what}: ${told(done)}, wanted success`);
    else if (done.stdout !== "") {
      this.differences.push(`${what}: stdout is ${shown(done.stdout)}, wanted nothing`);
    }
  }

  /** Wants failure with exactly one error document. */
  refused(what: string, done: Finished, wanted: Wanted = {}): Refusal | null {
    if (done.exitCode === 0) {
      this.differences.push(`${what}: succeeded, wanted ${wish(wanted)}`);
      return null;
    }
    const refusal: Refusal | null = parsed(done.stdout);
    const fits =
      refusal !== null &&
      typeof refusal.code === "number" &&
      (wanted.code === undefined || refusal.code === wanted.code) &&
      matches(refusal.msg, wanted.msg) &&
      matches(refusal.details, wanted.details);
    if (!fits) this.differences.push(`${what}: ${told(done)}, wanted ${wish(wanted)}`);
    return refusal;
  }

  equal(what: string, actual: unknown, wanted: unknown): void {
    if (isDeepStrictEqual(actual, wanted)) return;
    this.differences.push(`${what}: ${shown(actual)}, wanted ${shown(wanted)}`);
  }

  that(holds: boolean, difference: string): void {
    if (!holds) this.differences.push(difference);
  }

  /** Wants that as many further ADDs succeed as addresses should be free, and not one more. */
  free(what: string, count: number, conf: Json): void {
    const done = Array.from({ length: count + 1 }, () => this.call("ADD", this.node.pod(), conf));
    const served = done.filter(({ exitCode }) => exitCode === 0).length;
    this.equal(`${what}: further ADDs that got an address`, served, count);
  }
}

/** Runs one case: null when the rule is kept, else what differs. */
export async function verdict(kase: Case, subject: Subject): Promise<string | null> {
  const trial = new Trial(subject);
  try {
    await kase.probe(trial);
  } catch (error) {
    trial.differences.push(error instanceof Error ? error.message : String(error));
  } finally {
    trial.node.destroy();
  }
  return trial.differences.length === 0 ? null : trial.differences.join("\n");
}

/** The one JSON object of a text; null when it is anything else. */
export function parsed<T extends object>(text: string): T | null {
  try {
    const value: T | null = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function matches(text: unknown, wanted: string | RegExp | undefined): boolean {
  if (wanted === undefined) return true;
  if (typeof text !== "string") return false;
  return typeof wanted === "string" ? text === wanted : wanted.test(text);
}

function wish({ code, msg, details }: Wanted): string {
  const parts = [code === undefined ? "an error" : `code ${code}`, msg && `msg ${msg}`];
  return [...parts, details && `details ${details}`].filter(Boolean).join(", ");
}

function told({ exitCode, stdout, stderr }: Finished): string {
  return `exit ${exitCode}, stdout ${shown(stdout)}${stdout === "" ? `, stderr ${shown(stderr)}` : ""}`;
}

const LONGEST = 300;

function shown(value: unknown): string {
  const text =
    typeof value === "string" ? JSON.stringify(value.trim()) : (JSON.stringify(value) ?? "nothing");
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
