import type { Step } from "../../plan/step.ts";
import type { BatchFailure, Until } from "../batch.ts";
import { HostError } from "../errors.ts";
import type { OpenNetns } from "../netns.ts";
import { countTried } from "../tried.ts";
import { isMessageOperation, writeOperation } from "./encode.ts";
import { deleteTogether } from "./group.ts";
import { NoSuchLink, type OpenNames, openNames } from "./names.ts";
import { forEachRefusal } from "./refusal.ts";
import { type NetlinkSocket, type Page, withNetlink, withPage } from "./socket.ts";
import { MessageWriter } from "./writer.ts";

/**
 * How many messages go in one datagram: the kernel does them all before `send` returns, and should it refuse each, its
 * answers have to fit into the socket's buffer (212,992 bytes by default, about 1.3 KB each with its bookkeeping).
 */
const CHUNK = 128;

const HINT = "run the command by hand to see more";

/**
 * Runs steps of one namespace, in which the thread must be, as rtnetlink messages; `open` opens that of a veth's far end. `first`: one by one, up to the first
 * refusal. `each`: all of them, many in one datagram where none depends on the one before. The failures are in order;
 * empty when all went well. Throws HostError when there is no netlink at all.
 */
export function runMessages(steps: readonly Step[], until: Until, open: OpenNetns): BatchFailure[] {
  return withNetlink(0, (socket) => {
    const names = openNames(socket.fd, open);
    try {
      return withPage((page) => new Runner(socket, names, new MessageWriter(), page).run(steps, until));
    } finally {
      names.close();
    }
  });
}

class Runner {
  readonly #failures: BatchFailure[] = [];
  /** Numbers (from 1, as sequences) of what was written and not sent yet. */
  #pending: number[] = [];

  constructor(
    readonly socket: NetlinkSocket,
    readonly names: OpenNames,
    readonly writer: MessageWriter,
    readonly page: Page,
  ) {}

  run(steps: readonly Step[], until: Until): BatchFailure[] {
    for (let index = 0; index < steps.length; ) {
      const step = steps[index];
      if (step === undefined) break;
      if (step.op.startsWith("link.")) {
        // What follows may be about the link.
        this.#flush(steps);
        index = this.#runLink(steps, index, until);
        this.names.forget();
      } else {
        this.#write(step, index, steps);
        index++;
        if (until === "first" || this.#pending.length === CHUNK) this.#flush(steps);
      }
      if (until === "first" && this.#failures.length > 0) return this.#failures;
    }
    this.#flush(steps);
    return this.#failures.sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
  }

  /** Runs the step at `index`, with those behind it that go in the same transaction; returns where to go on. */
  #runLink(steps: readonly Step[], index: number, until: Until): number {
    const names: string[] = [];
    for (const step of steps.slice(index)) {
      if (step.op !== "link.del") break;
      names.push(step.name);
    }
    if (names.length < 2) {
      const [step] = steps.slice(index);
      if (step !== undefined) this.#write(step, index, steps);
      this.#flush(steps);
      return index + 1;
    }
    const refused = deleteTogether(names, until, this.socket, this.writer, this.page);
    for (const { at, message } of refused) this.#fail(index + at, message, steps);
    return index + names.length;
  }

  #write(step: Step, index: number, steps: readonly Step[]): void {
    const { writer } = this;
    const before = writer.length;
    try {
      if (!isMessageOperation(step)) throw new HostError(`${step.op} is no netlink message`, HINT);
      writeOperation(writer, step, this.names, index + 1, 0);
      this.#pending.push(index);
    } catch (error) {
      writer.cut(before);
      if (!(error instanceof NoSuchLink || error instanceof HostError)) throw error;
      this.#fail(index, error.message, steps, error instanceof HostError ? error.hint : HINT);
    }
  }

  /** Sends what was written, and reads what the kernel refused of it; the last message is answered in any case. */
  #flush(steps: readonly Step[]): void {
    const last = this.#pending.at(-1);
    if (last === undefined) {
      this.writer.reset();
      return;
    }
    this.writer.acknowledge();
    this.socket.send(this.writer.written);
    this.writer.reset();
    this.#pending = [];
    forEachRefusal(this.socket, this.page, last + 1, (sequence, message) =>
      this.#fail(sequence - 1, message, steps),
    );
  }

  #fail(index: number, message: string, steps: readonly Step[], hint = HINT): void {
    this.#failures.push({ index, tried: countTried(steps, index), message, hint });
  }
}
